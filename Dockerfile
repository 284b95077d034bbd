# One image with both programs: the coordinator, and the services, customers and
# audit of examples/order-checkout. Nothing else is in it: no shell, no root.
#
#   docker build -t amends .
#   docker run --rm amends serve --help
#
# It uses nothing that the classic builder lacks. GO_IMAGE and RUN_IMAGE may name
# mirrors.
ARG GO_IMAGE=golang:1.27-alpine
ARG RUN_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${GO_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=0
# The modules, and the largest of them compiled, are layers of their own: they
# stay until go.mod changes.
COPY go.mod go.sum ./
RUN go mod download
RUN go build -trimpath modernc.org/sqlite github.com/nats-io/nats-server/v2/server cel.dev/cel-go/cel
COPY . .
RUN go build -trimpath -ldflags="-s -w" -o /out/usr/local/bin/ ./cmd/coordinator ./examples/order-checkout
# A new volume takes its owner from the directory in the image that it covers.
RUN mkdir -p /out/data/coordinator /out/data/nats /out/data/order /out/data/inventory /out/data/payment /out/data/shipping /out/data/load

FROM ${RUN_IMAGE}
COPY --from=build /out/usr/ /usr/
COPY --from=build --chown=65532:65532 /out/data/ /data/
ENV AMENDS_DATA_DIR=/data/coordinator
EXPOSE 4222 8080
ENTRYPOINT ["/usr/local/bin/coordinator"]
CMD ["serve"]
