package com.outcrop;

import com.google.gson.Gson;
import com.outcrop.v1.CreateConversationRequest;
import com.outcrop.v1.Finish;
import com.outcrop.v1.GenerateRequest;
import com.outcrop.v1.GenerationServiceGrpc;
import com.outcrop.v1.GenerationServiceGrpc.GenerationServiceBlockingStub;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Function;

/** Calls an Outcrop server. One client serves all threads; close it at the end. */
public final class OutcropClient implements AutoCloseable {
  /** The time for a method with one response. */
  private static final Duration ONE_RESPONSE = Duration.ofMinutes(1);

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ManagedChannel channel;
  private final GenerationServiceBlockingStub stub;

  private OutcropClient(ManagedChannel channel, GenerationServiceBlockingStub stub) {
    this.channel = channel;
    this.stub = stub;
  }

  /**
   * Begins a client.
   *
   * @param endpoint {@code http://HOST:PORT} (not encrypted) or {@code https://HOST:PORT} (TLS); without a scheme it is the former on this machine and
   *     the latter elsewhere
   * @return a builder
   * @throws IllegalArgumentException if it is not an endpoint
   */
  public static Builder builder(String endpoint) {
    return new Builder(Endpoint.of(endpoint));
  }

  /**
   * Starts to generate an answer. Nothing limits the time of the call but the server.
   *
   * @param request the request
   * @return the answer; close it
   */
  public AnswerStream generate(GenerateRequest request) {
    return start(stub, request, finish -> {});
  }

  /**
   * Starts to generate an answer.
   *
   * @param request the request
   * @param timeout the deadline of the whole call with its retries
   * @return the answer; close it
   */
  public AnswerStream generate(GenerateRequest request, Duration timeout) {
    return start(within(timeout), request, finish -> {});
  }

  AnswerStream start(GenerationServiceBlockingStub stub, GenerateRequest request, Consumer<Finish> onFinish) {
    return new AnswerStream(
        headers -> {
          var capture = MetadataUtils.newCaptureMetadataInterceptor(headers, new AtomicReference<>());
          return stub.withInterceptors(capture).generate(request);
        },
        onFinish);
  }

  /**
   * Calls a method with one response within a minute, such as {@code client.call(stub -> stub.listModels(request))}.
   *
   * @param <T> the response
   * @param method calls the method of the stub
   * @return the response
   * @throws OutcropException if the call fails
   */
  public <T> T call(Function<GenerationServiceBlockingStub, T> method) {
    try {
      return method.apply(within(ONE_RESPONSE));
    } catch (StatusRuntimeException error) {
      throw OutcropException.of(error, Phase.BEFORE_CONTENT, null);
    }
  }

  /**
   * Creates a conversation that the server stores.
   *
   * @param request its model, system prompt and bounds
   * @return the conversation
   * @throws OutcropException if the call fails
   */
  public Conversation createConversation(CreateConversationRequest request) {
    var created = call(stub -> stub.createConversation(request)).getConversation();
    return new Conversation(this, created.getConversationId(), created.getRevision());
  }

  /**
   * Resumes a conversation, whatever its revision is.
   *
   * @param id the id of the conversation
   * @return the conversation
   */
  public Conversation conversation(String id) {
    return new Conversation(this, id, null);
  }

  /**
   * Resumes a conversation at the revision that was seen last.
   *
   * @param id the id of the conversation
   * @param revision the revision. If another caller has added a turn, the next one fails with {@link Reason#CONVERSATION_CHANGED}
   * @return the conversation
   */
  public Conversation conversation(String id, int revision) {
    return new Conversation(this, id, revision);
  }

  /**
   * The generated stub, which sends the API key too.
   *
   * @return the stub
   */
  public GenerationServiceBlockingStub stub() {
    return stub;
  }

  GenerationServiceBlockingStub within(Duration timeout) {
    return stub.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** Closes the connection, and cancels what is running. */
  @Override
  public void close() {
    channel.shutdownNow();
  }

  /** The settings of a client. Without any it has no API key, trusts the authorities of the JVM, and retries. */
  public static final class Builder {
    private final Endpoint endpoint;
    private String apiKey;
    private byte[] authorities;
    private byte[] certificate;
    private byte[] privateKey;
    private boolean retries = true;
    private boolean insecureKeyOverPlaintext;

    private Builder(Endpoint endpoint) {
      this.endpoint = endpoint;
    }

    /**
     * Sends an API key with every call. Without encryption it is only sent to this machine.
     *
     * @param key the key
     * @return this
     */
    public Builder apiKey(String key) {
      this.apiKey = key;
      return this;
    }

    /**
     * Trusts these authorities in place of those of the JVM.
     *
     * @param pem their certificates in PEM
     * @return this
     */
    public Builder trusting(byte[] pem) {
      this.authorities = pem.clone();
      return this;
    }

    /**
     * Identifies the client by a certificate.
     *
     * @param certificatePem the certificate with its chain, in PEM
     * @param privateKeyPem its private key, in PEM (PKCS#8)
     * @return this
     */
    public Builder certificate(byte[] certificatePem, byte[] privateKeyPem) {
      this.certificate = certificatePem.clone();
      this.privateKey = privateKeyPem.clone();
      return this;
    }

    /**
     * Turns the retry policy on or off. It is on by default.
     *
     * @param on whether calls that fail before any chunk are retried
     * @return this
     */
    public Builder retries(boolean on) {
      this.retries = on;
      return this;
    }

    /**
     * Allows an API key to another machine without encryption. Others on the network can read it.
     *
     * @return this
     */
    public Builder insecureKeyOverPlaintext() {
      this.insecureKeyOverPlaintext = true;
      return this;
    }

    /**
     * Makes the client, which connects with its first call.
     *
     * @return the client
     * @throws IllegalArgumentException if the settings contradict each other
     */
    public OutcropClient build() {
      check();
      ManagedChannelBuilder<?> builder =
          Grpc.newChannelBuilder(endpoint.target(), credentials())
              .userAgent("outcrop-java/0.1.0")
              .defaultServiceConfig(serviceConfig())
              // Pings during a call notice a connection that is gone. The server allows them.
              .keepAliveTime(20, TimeUnit.SECONDS)
              .keepAliveTimeout(20, TimeUnit.SECONDS)
              // Images and documents are larger than the defaults: 4 MiB for an answer, 1 MiB for a request that can be retried.
              .maxInboundMessageSize(1 << 30)
              .perRpcBufferLimit(64L << 20)
              .retryBufferSize(256L << 20);
      if (!retries) {
        builder.disableRetry();
      }
      ManagedChannel channel = builder.build();
      GenerationServiceBlockingStub stub = GenerationServiceGrpc.newBlockingStub(channel);
      if (apiKey != null) {
        Metadata headers = new Metadata();
        headers.put(AUTHORIZATION, "Bearer " + apiKey);
        stub = stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
      }
      return new OutcropClient(channel, stub);
    }

    private void check() {
      if (apiKey != null && !apiKey.matches("[!-~]+")) {
        throw new IllegalArgumentException("the API key is empty, or has spaces or characters that are not ASCII");
      }
      if (apiKey != null && !endpoint.isEncrypted() && !endpoint.isLocal() && !insecureKeyOverPlaintext) {
        throw new IllegalArgumentException(
            "\"" + endpoint.text() + "\" is not encrypted, so others on the network could read the API key. "
                + "Write https://, or allow it with insecureKeyOverPlaintext()");
      }
      if (!endpoint.isEncrypted() && (authorities != null || certificate != null)) {
        throw new IllegalArgumentException(
            "\"" + endpoint.text() + "\" is not encrypted, so certificates have no effect. Write https://");
      }
    }

    private ChannelCredentials credentials() {
      if (!endpoint.isEncrypted()) {
        return InsecureChannelCredentials.create();
      }
      TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
      try {
        if (authorities != null) {
          tls.trustManager(new ByteArrayInputStream(authorities));
        }
        if (certificate != null) {
          tls.keyManager(new ByteArrayInputStream(certificate), new ByteArrayInputStream(privateKey));
        }
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      return tls.build();
    }

    private static Map<String, ?> serviceConfig() {
      try (InputStream file = OutcropClient.class.getResourceAsStream("service-config.json")) {
        @SuppressWarnings("unchecked")
        Map<String, ?> config = new Gson().fromJson(new InputStreamReader(file, StandardCharsets.UTF_8), Map.class);
        return config;
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }
}
