package main

import "github.com/amends-dev/amends/contract"

// Trip is what a traveller wants: the saga's input.
type Trip struct {
	Traveller string `json:"traveller"`
	Nights    int    `json:"nights"`
}

// Room is what the hotel answers.
type Room struct {
	Number int `json:"number"`
	Price  int `json:"price"`
}

// Charge is what the bank is asked for.
type Charge struct {
	Account string `json:"account"`
	Amount  int    `json:"amount"`
}

// Receipt is what the bank answers.
type Receipt struct {
	ID string `json:"id"`
}

// Voucher is what the traveller gets in the end.
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
