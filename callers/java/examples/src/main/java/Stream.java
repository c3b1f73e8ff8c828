import com.outcrop.Answer;
import com.outcrop.AnswerStream;
import com.outcrop.OutcropClient;
import com.outcrop.v1.GenerateRequest;
import java.io.IOException;

/** Prints the text of an answer as it arrives, and then why it ended. */
final class Stream {
  private Stream() {}

  public static void main(String[] words) throws IOException {
    String prompt = words.length > 0 ? String.join(" ", words) : "hi";
    GenerateRequest request = GenerateRequest.newBuilder().setPrompt(prompt).build();
    try (OutcropClient client = Example.client().build();
        AnswerStream stream = client.generate(request)) {
      for (String text : stream.text()) {
        System.out.print(text);
        System.out.flush();
      }
      Answer answer = stream.answer();
      System.out.println();
      System.out.println(answer.finish().getStopReason() + " " + answer.finish().getUsage().getOutputTokens() + " output tokens");
    }
  }
}
