package contract_test

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
)

type (
	Trip struct {
		Traveller string `json:"traveller"`
	}
	Room struct {
		Number int `json:"number"`
	}
)

// A command and its undo are declared once, in a package that both the saga and the service import.
func ExampleNewCommand() {
	bookRoom := contract.NewCommand[Trip, Room]("hotel", "book-room")
	cancelRoom := contract.UndoOf(bookRoom, "cancel-room")
	fmt.Println(bookRoom.Participant(), bookRoom.Action(), bookRoom.RequestType(), bookRoom.ResultType())
	fmt.Println(cancelRoom.Participant(), cancelRoom.Action())
	// Output:
	// hotel book-room contract_test.Trip contract_test.Room
	// hotel cancel-room
}
