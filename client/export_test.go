package client

import (
	"context"
	"reflect"
)

// Request does what Do does, for types that a test chooses while it runs.
func (c *Client) Request(ctx context.Context, method string, request, response any) error {
	return c.request(ctx, method, request, response)
}

// TypesOf returns the types of a method's request and response.
func TypesOf(method string) (request, response reflect.Type) {
	return methods[method].request, methods[method].response
}
