// The AWS SDK for Java v2 as an application has it: reads cases as a line of JSON, asks for each, and prints what the application saw as a
// line of JSON.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;

public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<JsonNode> cases = JsonNode.parser().parse(in.readLine()).asArray();
        System.out.println("{\"sdk\":\"AWS SDK for Java " + VersionInfo.SDK_VERSION + "\"}");
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Callable<Outcome>> running = cases.stream().<Callable<Outcome>>map(test -> () -> run(new TestCase(test))).toList();
        for (Future<Outcome> outcome : pool.invokeAll(running)) {
            System.out.println(outcome.get().json());
        }
        // What was left must not end with the process.
        in.transferTo(Writer.nullWriter());
        System.exit(0);
    }

    /** Asks for a case with a client of its own, so that no connection is shared. */
    private static Outcome run(TestCase test) {
        Outcome outcome = new Outcome(test.name());
        try {
            switch (test.operation()) {
                case "ConverseStream", "InvokeModelWithResponseStream" -> Streams.ask(test, outcome);
                default -> Whole.ask(test, outcome);
            }
        } catch (Exception error) {
            outcome.fail(error);
        }
        return outcome;
    }
}
