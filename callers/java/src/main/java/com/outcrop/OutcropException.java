package com.outcrop;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** A call failed. {@link #reason} says why, and {@link #phase} whether content had arrived before. */
public final class OutcropException extends RuntimeException {
  private static final long serialVersionUID = 1;
  private static final Metadata.Key<String> GENERATION_ID =
      Metadata.Key.of("outcrop-generation-id", Metadata.ASCII_STRING_MARSHALLER);

  /** The code of the status. */
  private final Status.Code code;

  /** The name of the reason. */
  private final String reasonName;

  /** Whether content had arrived before. */
  private final Phase phase;

  /** What the details of the status say. */
  private final Details details;

  /**
   * A field of the request that is invalid.
   *
   * @param field the path of the field
   * @param description what is wrong with it
   */
  public record Violation(String field, String description) implements Serializable {}

  /**
   * A limit that is reached.
   *
   * @param subject what the limit is for
   * @param description the limit
   */
  public record QuotaViolation(String subject, String description) implements Serializable {}

  private record Details(
      Duration retryDelay,
      List<Violation> violations,
      List<QuotaViolation> quotaViolations,
      Map<String, String> metadata,
      String requestId,
      String generationId)
      implements Serializable {}

  private OutcropException(
      String message, Status.Code code, String reasonName, Phase phase, Details details, Throwable cause) {
    super(reasonName + ": " + message + " (" + code + ", " + phase.name().toLowerCase(Locale.ROOT) + ")", cause);
    this.code = code;
    this.reasonName = reasonName;
    this.phase = phase;
    this.details = details;
  }

  /** The error for a status of grpc-java, whether the server or the client made it. */
  static OutcropException of(StatusRuntimeException error, Phase seen, Metadata headers) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    List<Any> all = status == null ? List.of() : status.getDetailsList();
    Optional<ErrorInfo> info = find(all, ErrorInfo.class);
    String reason = info.map(ErrorInfo::getReason).orElseGet(() -> local(error.getStatus().getCode()).name());
    Map<String, String> metadata = info.map(ErrorInfo::getMetadataMap).orElse(Map.of());
    Phase phase =
        switch (metadata.getOrDefault("phase", "")) {
          case "before_content" -> Phase.BEFORE_CONTENT;
          case "after_content" -> Phase.AFTER_CONTENT;
          default -> seen;
        };
    Details details =
        new Details(
            find(all, RetryInfo.class).map(RetryInfo::getRetryDelay).map(OutcropException::duration).orElse(null),
            find(all, BadRequest.class).map(OutcropException::violations).orElse(List.of()),
            find(all, QuotaFailure.class).map(OutcropException::quotaViolations).orElse(List.of()),
            Map.copyOf(metadata),
            find(all, RequestInfo.class).map(RequestInfo::getRequestId).orElse(""),
            generationId(error.getTrailers()).or(() -> generationId(headers)).orElse(""));
    String message = Optional.ofNullable(error.getStatus().getDescription()).orElse("");
    return new OutcropException(message, error.getStatus().getCode(), reason, phase, details, error);
  }

  /** The error for an answer that is not what the contract promises. A proxy can cause it. */
  static OutcropException brokenContract(String message, Phase phase) {
    Details none = new Details(null, List.of(), List.of(), Map.of(), "", "");
    return new OutcropException(message, Status.Code.DATA_LOSS, Reason.TRANSPORT.name(), phase, none, null);
  }

  /** The reason of a status that the client makes itself, which has no details. */
  private static Reason local(Status.Code code) {
    return switch (code) {
      case CANCELLED -> Reason.CALLER_CANCELLED;
      case DEADLINE_EXCEEDED -> Reason.CALLER_DEADLINE;
      default -> Reason.TRANSPORT;
    };
  }

  private static <T extends Message> Optional<T> find(List<Any> details, Class<T> kind) {
    for (Any detail : details) {
      if (detail.is(kind)) {
        try {
          return Optional.of(detail.unpack(kind));
        } catch (InvalidProtocolBufferException damaged) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }

  private static Duration duration(com.google.protobuf.Duration delay) {
    return Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
  }

  private static List<Violation> violations(BadRequest request) {
    return request.getFieldViolationsList().stream()
        .map(one -> new Violation(one.getField(), one.getDescription()))
        .toList();
  }

  private static List<QuotaViolation> quotaViolations(QuotaFailure failure) {
    return failure.getViolationsList().stream()
        .map(one -> new QuotaViolation(one.getSubject(), one.getDescription()))
        .toList();
  }

  private static Optional<String> generationId(Metadata metadata) {
    return Optional.ofNullable(metadata).map(all -> all.get(GENERATION_ID));
  }

  /**
   * Why the call failed.
   *
   * @return the reason, or {@link Reason#OTHER} for one that this version of the package does not know
   */
  public Reason reason() {
    return Reason.named(reasonName);
  }

  /**
   * The name of the reason.
   *
   * @return the name, also of a reason that this version of the package does not know
   */
  public String reasonName() {
    return reasonName;
  }

  /**
   * The code of the status.
   *
   * @return the code
   */
  public Status.Code code() {
    return code;
  }

  /**
   * Whether content had arrived before.
   *
   * @return the phase
   */
  public Phase phase() {
    return phase;
  }

  /**
   * The time after which the whole call can be repeated. What has arrived is then not a part of the new answer.
   *
   * @return the time, or nothing if a retry cannot help
   */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(details.retryDelay());
  }

  /**
   * The fields of the request that are invalid.
   *
   * @return all of them
   */
  public List<Violation> violations() {
    return details.violations();
  }

  /**
   * The limits of the server that are reached.
   *
   * @return all of them
   */
  public List<QuotaViolation> quotaViolations() {
    return details.quotaViolations();
  }

  /**
   * The metadata of ErrorInfo, such as {@code model_id}, {@code region} and {@code attempts}.
   *
   * @return the metadata
   */
  public Map<String, String> metadata() {
    return details.metadata();
  }

  /**
   * The AWS request id.
   *
   * @return the id, or an empty string
   */
  public String requestId() {
    return details.requestId();
  }

  /**
   * The id of the call in the log of the server.
   *
   * @return the id, or an empty string
   */
  public String generationId() {
    return details.generationId();
  }
}
