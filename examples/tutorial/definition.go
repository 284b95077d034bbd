package main

import (
	"time"

	"github.com/amends-dev/amends/saga"
)

// BookTrip is the saga.
var BookTrip = saga.MustDefine[Trip]("book-trip",
	saga.Deadline(10*time.Minute),
	saga.Compensable("book-room", saga.Do(BookRoom), saga.Undo(CancelRoom)),
	saga.Pivot("take-money", saga.Do(TakeMoney, saga.Timeout(5*time.Second),
		saga.With(`{"account": input.traveller, "amount": result.book_room.price}`))),
	saga.Retriable("send-voucher", saga.Do(SendVoucher,
		saga.With(`{"traveller": input.traveller, "room": result.book_room.number, "receipt": result.take_money.id}`))),
)
