package main

import "github.com/amends-dev/amends/contract"

// Trip is the input of the saga.
type Trip struct {
	Traveller string `json:"traveller"`
	Nights    int    `json:"nights"`
}

// Room is the result of booking a room.
type Room struct {
	Number int `json:"number"`
	Price  int `json:"price"`
}

// Charge requests to charge a traveller.
type Charge struct {
	Account string `json:"account"`
	Amount  int    `json:"amount"`
}

// Receipt is the result of a charge.
type Receipt struct {
	ID string `json:"id"`
}

// Voucher is sent to the traveller at the end.
type Voucher struct {
	Traveller string `json:"traveller"`
	Room      int    `json:"room"`
	Receipt   string `json:"receipt"`
}

// The commands of the two services.
var (
	BookRoom    = contract.NewCommand[Trip, Room]("hotel", "book-room")
	CancelRoom  = contract.UndoOf(BookRoom, "cancel-room")
	SendVoucher = contract.NewCommand[Voucher, struct{}]("hotel", "send-voucher")
	TakeMoney   = contract.NewCommand[Charge, Receipt]("bank", "take-money")
)
