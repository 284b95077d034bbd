package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

const hotelSchema = `
	CREATE TABLE IF NOT EXISTS room (number INTEGER PRIMARY KEY, price INTEGER NOT NULL, guest TEXT NOT NULL DEFAULT '');
	CREATE TABLE IF NOT EXISTS voucher (receipt TEXT PRIMARY KEY, traveller TEXT NOT NULL, room INTEGER NOT NULL);
	INSERT OR IGNORE INTO room (number, price) VALUES (101, 80), (102, 120);`

func newHotel(inbox *sqlinbox.Inbox) *participant.Participant[*sql.Tx] {
	p := participant.New("hotel", inbox)
	participant.Handle(p, BookRoom, bookRoom)
	participant.HandleUndo(p, CancelRoom, cancelRoom)
	participant.Handle(p, SendVoucher, participant.NoResult(sendVoucher))
	return p
}

func bookRoom(ctx context.Context, tx *sql.Tx, trip Trip) (Room, error) {
	var room Room
	err := tx.QueryRowContext(ctx, `UPDATE room SET guest = ?
		WHERE number = (SELECT number FROM room WHERE guest = '' ORDER BY price LIMIT 1)
		RETURNING number, price`, trip.Traveller).Scan(&room.Number, &room.Price)
	if errors.Is(err, sql.ErrNoRows) {
		return Room{}, participant.Reject("the hotel is full") // final: the saga is compensated
	}
	room.Price *= trip.Nights
	return room, err // any other error: failed, tried again as the definition says
}

func cancelRoom(ctx context.Context, tx *sql.Tx, undo contract.Undo[Trip, Room]) error {
	_, err := tx.ExecContext(ctx, `UPDATE room SET guest = '' WHERE number = ?`, undo.Result.Number)
	return err
}

func sendVoucher(ctx context.Context, tx *sql.Tx, v Voucher) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO voucher (receipt, traveller, room) VALUES (?, ?, ?)`, v.Receipt, v.Traveller, v.Room)
	return err
}
