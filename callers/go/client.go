package outcrop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"outcrop.example/go/outcropv1"
)

//go:embed service_config.json
var serviceConfig string

var printable = regexp.MustCompile(`^[!-~]+$`)

// Options of a client. The zero value has no API key, trusts the authorities of the machine, and retries.
type Options struct {
	// APIKey is sent with every call. Without encryption it is only sent to this machine.
	APIKey string
	// CA are the authorities to trust in place of those of the machine, in PEM.
	CA []byte
	// Certificates identify the client.
	Certificates []tls.Certificate
	// NoRetries turns the retry policy off.
	NoRetries bool
	// InsecureKeyOverPlaintext allows an API key to another machine without encryption. Others on the network can read it.
	InsecureKeyOverPlaintext bool
	// Dial are further options for grpc-go, such as interceptors.
	Dial []grpc.DialOption
}

// Client calls an Outcrop server. It serves all goroutines.
type Client struct {
	// Service is the generated client. Its calls send the API key too.
	Service    outcropv1.GenerationServiceClient
	connection *grpc.ClientConn
}

// New makes a client. http://HOST:PORT is not encrypted, https://HOST:PORT is; without a scheme it is the former on this machine and the latter
// elsewhere. It connects with the first call.
func New(endpoint string, options Options) (*Client, error) {
	target, encrypted, local, err := parse(endpoint)
	if err != nil {
		return nil, err
	}
	if options.APIKey != "" && !printable.MatchString(options.APIKey) {
		return nil, errors.New("the API key has spaces or characters that are not ASCII")
	}
	if options.APIKey != "" && !encrypted && !local && !options.InsecureKeyOverPlaintext {
		return nil, fmt.Errorf("%q is not encrypted, so others on the network could read the API key. Write https://, or set InsecureKeyOverPlaintext", endpoint)
	}
	transport := insecure.NewCredentials()
	if encrypted {
		config := &tls.Config{Certificates: options.Certificates}
		if options.CA != nil {
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(options.CA) {
				return nil, errors.New("CA has no certificate in PEM")
			}
		}
		transport = credentials.NewTLS(config)
	} else if options.CA != nil || len(options.Certificates) > 0 {
		return nil, fmt.Errorf("%q is not encrypted, so certificates have no effect. Write https://", endpoint)
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// Pings during a call notice a connection that is gone. The server allows them.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 20 * time.Second}),
		// Images and documents are larger than the default of 4 MiB.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1 << 30)),
		grpc.WithUserAgent("outcrop-go/0.1.0"),
	}
	if options.APIKey != "" {
		value := "Bearer " + options.APIKey
		dial = append(dial, grpc.WithChainUnaryInterceptor(withKeyUnary(value)), grpc.WithChainStreamInterceptor(withKeyStream(value)))
	}
	if options.NoRetries {
		dial = append(dial, grpc.WithDisableRetry())
	}
	connection, err := grpc.NewClient("dns:///"+target, append(dial, options.Dial...)...)
	if err != nil {
		return nil, err
	}
	return &Client{Service: outcropv1.NewGenerationServiceClient(connection), connection: connection}, nil
}

func withKeyUnary(value string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		return invoke(metadata.AppendToOutgoingContext(ctx, "authorization", value), method, request, reply, cc, options...)
	}
}

func withKeyStream(value string) grpc.StreamClientInterceptor {
	return func(ctx context.Context, description *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
		return stream(metadata.AppendToOutgoingContext(ctx, "authorization", value), description, cc, method, options...)
	}
}

// parse returns the target of an endpoint, whether it is encrypted, and whether it is on this machine.
func parse(endpoint string) (target string, encrypted, local bool, err error) {
	parsed, err := url.Parse(endpoint)
	noScheme := err != nil || parsed.Host == ""
	if noScheme {
		parsed, err = url.Parse("//" + endpoint)
	}
	if err != nil || parsed.Hostname() == "" || (parsed.Path != "" && parsed.Path != "/") || (!noScheme && parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", false, false, fmt.Errorf("%q is not an endpoint: write http://HOST:PORT (not encrypted) or https://HOST:PORT (TLS)", endpoint)
	}
	address, failed := netip.ParseAddr(parsed.Hostname())
	local = parsed.Hostname() == "localhost" || (failed == nil && address.Unmap().IsLoopback())
	encrypted = parsed.Scheme == "https" || (noScheme && !local)
	port := parsed.Port()
	if port == "" && encrypted {
		port = "443"
	} else if port == "" {
		port = "80"
	}
	return net.JoinHostPort(parsed.Hostname(), port), encrypted, local, nil
}

// Close closes the connection, and cancels what is running.
func (c *Client) Close() error { return c.connection.Close() }

// Generate starts to generate an answer. The context ends the call; so does Stream.Close, which must be called.
func (c *Client) Generate(ctx context.Context, request *outcropv1.GenerateRequest) *Stream {
	return c.generate(ctx, request, nil)
}

func (c *Client) generate(ctx context.Context, request *outcropv1.GenerateRequest, onFinish func(*outcropv1.Finish)) *Stream {
	ctx, cancel := context.WithCancel(ctx)
	call, err := c.Service.Generate(ctx, request)
	return &Stream{call: call, cancel: cancel, err: errorOf(err, BeforeContent), onFinish: onFinish, collector: NewCollector()}
}
