import com.outcrop.OutcropClient;
import com.outcrop.OutcropException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** Where the server is: OUTCROP_ENDPOINT, OUTCROP_API_KEY, and OUTCROP_CA with the authorities to trust. */
final class Example {
  private Example() {}

  static OutcropClient.Builder client() throws IOException {
    OutcropClient.Builder builder = OutcropClient.builder(System.getenv().getOrDefault("OUTCROP_ENDPOINT", "localhost:50051"));
    String key = System.getenv().getOrDefault("OUTCROP_API_KEY", "");
    if (!key.isEmpty()) {
      builder.apiKey(key);
    }
    String authorities = System.getenv().getOrDefault("OUTCROP_CA", "");
    return authorities.isEmpty() ? builder : builder.trusting(Files.readAllBytes(Path.of(authorities)));
  }

  /** Prints what a program can decide by. */
  static void show(OutcropException error) {
    String phase = error.phase().name().toLowerCase(Locale.ROOT);
    String retry = error.retryDelay().isPresent() ? "retry" : "no retry";
    System.out.println(error.reasonName() + " " + error.code() + " " + phase + " " + retry);
    error.violations().forEach(violation -> System.out.println("  field " + violation.field()));
    error.quotaViolations().forEach(violation -> System.out.println("  quota " + violation.subject()));
  }
}
