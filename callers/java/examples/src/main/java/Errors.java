import com.google.protobuf.Duration;
import com.outcrop.AnswerStream;
import com.outcrop.OutcropClient;
import com.outcrop.OutcropException;
import com.outcrop.Phase;
import com.outcrop.v1.GenerateRequest;
import com.outcrop.v1.InferenceConfiguration;
import java.io.IOException;
import java.util.List;

/** Calls that fail, before and after content: {@code Errors [--heartbeats] [--no-retries] MODEL...}. Without a model, an invalid request. */
final class Errors {
  private Errors() {}

  public static void main(String[] arguments) throws IOException {
    List<String> flags = List.of(arguments);
    List<String> models = flags.stream().filter(flag -> !flag.startsWith("--")).toList();
    try (OutcropClient client = Example.client().retries(!flags.contains("--no-retries")).build()) {
      for (String model : models.isEmpty() ? List.of("") : models) {
        GenerateRequest.Builder request = GenerateRequest.newBuilder().setModel(model).setPrompt("hi");
        if (flags.contains("--heartbeats")) {
          request.setHeartbeatInterval(Duration.newBuilder().setNanos(100_000_000));
        }
        if (model.isEmpty()) {
          request.setInferenceConfig(InferenceConfiguration.newBuilder().setTemperature(3).setMaxTokens(0));
        }
        try (AnswerStream stream = client.generate(request.build())) {
          stream.answer();
          System.out.println("OK");
        } catch (OutcropException error) {
          Example.show(error);
          decide(error);
        }
      }
    }
  }

  private static void decide(OutcropException error) {
    switch (error.reason()) {
      case INVALID_REQUEST -> System.out.println("  correct the request");
      case QUOTA_EXHAUSTED, BEDROCK_THROTTLED -> System.out.println("  try again later");
      case BUDGET_EXHAUSTED -> System.out.println("  wait for the next day or month, or ask for more");
      default -> {
        if (error.phase() == Phase.AFTER_CONTENT) {
          System.out.println("  discard what has arrived");
        }
      }
    }
  }
}
