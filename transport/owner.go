package transport

import (
	"strconv"
	"strings"

	"github.com/amends-dev/amends/contract"
)

// Owner identifies a store's claim on the prefix. The claim with the highest number owns the prefix
// (docs/adr/0025). A message with a lower number was sent by a coordinator that has been replaced.
type Owner struct {
	Store string // the store's id: letters, digits and -, at most MaxStore
	Claim uint64 // increases with each claim on the prefix, whichever store makes it; 0 means none
}

// MaxStore bounds the id of a store, in bytes.
const MaxStore = 64

// String returns store/claim, the format of the attribute.
func (o Owner) String() string { return o.Store + "/" + strconv.FormatUint(o.Claim, 10) }

func parseOwner(value string) (o Owner, err error) {
	store, number, _ := strings.Cut(value, "/")
	claim, ok := contract.ParseLong(number)
	if !ok || claim == 0 || store == "" || len(store) > MaxStore || strings.Trim(store, "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return o, BadAttribute(AttrOwner, value, "is not store/claim: the store's id, of letters, digits and -, and a number from 1 without leading zeros")
	}
	return Owner{Store: store, Claim: claim}, nil
}
