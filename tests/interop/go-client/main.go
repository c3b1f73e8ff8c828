// A client in grpc-go without generated code: it asks for the health, calls Generate with the bytes of a request, and prints how many chunks
// came. The tests of TLS run it.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// prompt = "hi" in a GenerateRequest.
var request = []byte("\x12\x02hi")

// raw sends and receives the bytes of messages.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" }

func main() {
	address := flag.String("address", "", "HOST:PORT of the server")
	ca := flag.String("ca", "", "a PEM file with the authorities to trust")
	cert := flag.String("cert", "", "a PEM file with the certificate of the client")
	key := flag.String("key", "", "a PEM file with its private key")
	timeout := flag.Duration("timeout", 20*time.Second, "the time for everything")
	flag.Parse()
	if err := run(*address, *ca, *cert, *key, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, ca, cert, key string, timeout time.Duration) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in " + ca)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	health, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	fmt.Println("health", health.Status)
	if token := os.Getenv("OUTCROP_API_KEY"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	description := &grpc.StreamDesc{ServerStreams: true}
	stream, err := connection.NewStream(ctx, description, "/outcrop.v1.GenerationService/Generate", grpc.ForceCodec(raw{}))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&request); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	chunks := 0
	for {
		var chunk []byte
		err := stream.RecvMsg(&chunk)
		if errors.Is(err, io.EOF) {
			fmt.Println("chunks", chunks)
			return nil
		}
		if err != nil {
			return err
		}
		chunks++
	}
}
