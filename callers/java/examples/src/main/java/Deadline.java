import com.outcrop.AnswerStream;
import com.outcrop.OutcropClient;
import com.outcrop.OutcropException;
import com.outcrop.v1.GenerateRequest;
import java.io.IOException;
import java.time.Duration;

/** A deadline for the whole stream, with the time for the connection. */
final class Deadline {
  private Deadline() {}

  public static void main(String[] arguments) throws IOException {
    GenerateRequest request = GenerateRequest.newBuilder().setModel("emulator.endless").setPrompt("hi").build();
    try (OutcropClient client = Example.client().build();
        AnswerStream stream = client.generate(request, Duration.ofSeconds(4))) {
      stream.answer();
    } catch (OutcropException error) {
      Example.show(error);
    }
  }
}
