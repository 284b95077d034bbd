package main

import (
	"context"
	"fmt"
	"io"

	"github.com/amends-dev/amends/examples/order-checkout/audit"
	"github.com/amends-dev/amends/examples/order-checkout/progress"
)

// auditCmd audits the services' databases below a directory.
type auditCmd struct {
	Data string `type:"path" default:"/data" env:"DATA" help:"Where the services keep their databases."`
}

// Run implements the command.
func (c auditCmd) Run(ctx context.Context, t *terminal) error {
	return printAudit(ctx, c.Data, progress.New(t.out, 0), t.out)
}

// printAudit reads the databases and prints the report. It returns errBooks if they do not balance.
func printAudit(ctx context.Context, dir string, board *progress.Board, out io.Writer) error {
	books, err := audit.Read(ctx, dir)
	if err != nil {
		return err
	}
	report := audit.Check(books)
	fmt.Fprintln(out)
	report.Print(out, board.Mark)
	if !report.OK() {
		return errBooks
	}
	return nil
}
