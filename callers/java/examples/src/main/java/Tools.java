import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.outcrop.Answer;
import com.outcrop.AnswerStream;
import com.outcrop.Messages;
import com.outcrop.OutcropClient;
import com.outcrop.v1.ContentBlock;
import com.outcrop.v1.GenerateRequest;
import com.outcrop.v1.Message;
import com.outcrop.v1.StopReason;
import com.outcrop.v1.Tool;
import com.outcrop.v1.ToolConfiguration;
import com.outcrop.v1.ToolInputSchema;
import com.outcrop.v1.ToolSpecification;
import com.outcrop.v1.ToolUseBlock;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** A tool loop: the model calls a tool, the program executes it, and the model answers with the result. */
final class Tools {
  private static final String SCHEMA =
      """
      {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}""";

  private Tools() {}

  public static void main(String[] arguments) throws IOException {
    List<Message> messages = new ArrayList<>(List.of(Messages.user("What is the weather in Paris?")));
    try (OutcropClient client = Example.client().build()) {
      Answer answer = ask(client, messages);
      while (answer.finish().getStopReason() == StopReason.STOP_REASON_TOOL_USE) {
        List<ContentBlock> results = new ArrayList<>();
        for (ToolUseBlock use : answer.toolUses()) {
          System.out.println("tool " + use.getName());
          results.add(Messages.toolResult(use, weather(Messages.toolInput(use))));
        }
        messages.add(Messages.user(results));
        answer = ask(client, messages);
      }
      System.out.println("answer " + messages.size() + " " + !answer.text().isBlank());
    }
  }

  /** Calls the model, and appends its message unchanged, with reasoning and signatures. */
  private static Answer ask(OutcropClient client, List<Message> messages) {
    ToolSpecification weather =
        ToolSpecification.newBuilder()
            .setName("get_weather")
            .setDescription("The weather in a city.")
            .setInputSchema(ToolInputSchema.newBuilder().setJsonText(SCHEMA))
            .build();
    GenerateRequest request =
        GenerateRequest.newBuilder()
            .setModel("emulator.call")
            .addAllMessages(messages)
            .setToolConfig(ToolConfiguration.newBuilder().addTools(Tool.newBuilder().setToolSpec(weather)))
            .build();
    try (AnswerStream stream = client.generate(request)) {
      Answer answer = stream.answer();
      messages.add(answer.message());
      return answer;
    }
  }

  private static String weather(String input) {
    JsonObject weather = new JsonObject();
    weather.add("city", JsonParser.parseString(input).getAsJsonObject().get("city"));
    weather.addProperty("sky", "clear");
    weather.addProperty("degrees", 21);
    return weather.toString();
  }
}
