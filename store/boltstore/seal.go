package boltstore

import (
	"encoding/binary"
	"errors"

	"github.com/amends-dev/amends/store/seal"
)

// errPlain means that a record in a sealed store was written without a key.
var errPlain = errors.New("it is not encrypted although the store is: the file was changed by another program")

// part identifies sealed data: its kind, saga and revision. They are authenticated together with the
// data, so that a part cannot replace a different part.
func part(kind string, id string, revision uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(kind+" "+id+"\x00"), revision)
}

// sealPart returns the stored form of a part, which is sealed if there are keys.
func sealPart(keys *seal.Keys, kind, id string, revision uint64, plain []byte) []byte {
	if keys == nil {
		return plain
	}
	return keys.Seal(part(kind, id, revision), plain)
}

// openPart returns the original form of a stored part. With keys it refuses plain parts, because an
// attacker with write access to the file could replace a sealed part with a plain one.
func openPart(keys *seal.Keys, sealed bool, kind, id string, revision uint64, stored []byte) ([]byte, error) {
	switch {
	case sealed:
		return keys.Open(part(kind, id, revision), stored)
	case keys != nil:
		return nil, errPlain
	}
	return stored, nil
}

// partSum returns a checksum by which equal births and equal results are found. With keys it is part
// of an HMAC.
func partSum(keys *seal.Keys, kind string, b []byte) uint32 {
	if keys == nil {
		return checksum(b)
	}
	mac := keys.MAC(kind, b)
	return binary.BigEndian.Uint32(mac[:])
}

// frameFormatOf returns the frame format of records with sealable parts.
func frameFormatOf(keys *seal.Keys) byte {
	if keys == nil {
		return frameFormat
	}
	return frameSealed
}

// sealable reports whether records of the table have parts that are sealed.
func (t table) sealable() bool {
	switch t {
	case tableSagas, tableJournal, tableOwed, tableDefinitions, tableTombstones:
		return true
	}
	return false
}

// checkSealed returns an error for a plain record of a sealed store.
func checkSealed(keys *seal.Keys, t table, key []byte, sealed bool) error {
	if keys != nil && !sealed && t.sealable() {
		return t.corrupt(key, errPlain.Error())
	}
	return nil
}
