package httpapi

import "connectrpc.com/connect"

// JSON is the option for clients that use the JSON of the API. connect.WithProtoJSON would be that
// of protobuf.
func JSON() connect.Option { return connect.WithCodec(codecs[0]) }
