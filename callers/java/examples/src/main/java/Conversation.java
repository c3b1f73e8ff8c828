import com.outcrop.Answer;
import com.outcrop.AnswerStream;
import com.outcrop.OutcropClient;
import com.outcrop.OutcropException;
import com.outcrop.v1.CreateConversationRequest;
import com.outcrop.v1.GenerateRequest;
import com.outcrop.v1.GetConversationRequest;
import com.outcrop.v1.SystemContentBlock;
import com.outcrop.v1.Turn;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** A conversation that the server stores: a turn, resumed by the id of the conversation, and what is refused. */
final class Conversation {
  private Conversation() {}

  public static void main(String[] arguments) throws IOException {
    String model = arguments.length > 0 ? arguments[0] : "emulator.everything";
    GenerateRequest turn = GenerateRequest.newBuilder().setModel(model).setPrompt("Show everything.").setTurnId("1").build();
    SystemContentBlock brief = SystemContentBlock.newBuilder().setText("Be brief.").build();
    try (OutcropClient client = Example.client().build()) {
      var conversation = client.createConversation(CreateConversationRequest.newBuilder().addSystem(brief).build());
      Answer first = answer(conversation.generate(turn));
      System.out.println("revision " + conversation.revision().getAsInt());

      // Another program resumes it. What is stored is what the stream put together, with signatures and citations.
      var resumed = client.conversation(conversation.id());
      List<Turn> stored = new ArrayList<>();
      resumed.turns().forEach(stored::add);
      var last = stored.get(0).getMessages(stored.get(0).getMessagesCount() - 1);
      System.out.println("same " + last.equals(first.message()) + " " + first.message().getContentCount() + " blocks");

      // The server puts the message together too, if it is asked to.
      Answer again = answer(client.generate(turn.toBuilder().clearTurnId().setIncludeMessage(true).build()));
      System.out.println("included " + (again.finish().hasMessage() && again.message().equals(first.message())));

      // The same turn again calls no model.
      show(() -> answer(client.conversation(conversation.id()).generate(turn)));
      GenerateRequest who = GenerateRequest.newBuilder().setPrompt("Who are you?").build();
      show(() -> answer(client.conversation(conversation.id(), 0).generate(who)));
      resumed.delete();
      GetConversationRequest get = GetConversationRequest.newBuilder().setConversationId(conversation.id()).build();
      show(() -> client.call(stub -> stub.getConversation(get)));
    }
  }

  private static Answer answer(AnswerStream stream) {
    try (stream) {
      return stream.answer();
    }
  }

  private static void show(Runnable call) {
    try {
      call.run();
    } catch (OutcropException error) {
      Example.show(error);
    }
  }
}
