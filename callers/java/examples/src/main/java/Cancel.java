import com.outcrop.AnswerStream;
import com.outcrop.OutcropClient;
import com.outcrop.OutcropException;
import com.outcrop.v1.GenerateRequest;
import java.io.IOException;
import java.util.List;

/** Cancels after the first text. Leaving the loop alone does not cancel: {@code try} with the stream, or {@code cancel}, does. {@code --wait} waits for a line in between. */
final class Cancel {
  private Cancel() {}

  public static void main(String[] arguments) throws IOException {
    GenerateRequest request = GenerateRequest.newBuilder().setModel("emulator.endless").setPrompt("hi").build();
    try (OutcropClient client = Example.client().build()) {
      try (AnswerStream stream = client.generate(request)) {
        for (String text : stream.text()) {
          break;
        }
        if (List.of(arguments).contains("--wait")) {
          System.out.println("left the loop, and the call goes on");
          System.in.read();
        }
        stream.cancel();
        stream.answer();
      } catch (OutcropException error) {
        Example.show(error);
      }
      try (AnswerStream stream = client.generate(request)) {
        stream.text().iterator().next();
      }
      System.out.println("left");
    }
  }
}
