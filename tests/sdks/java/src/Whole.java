// Whole answers, with the synchronous client.

import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeClient;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlock;
import software.amazon.awssdk.services.bedrockruntime.model.ConverseResponse;
import software.amazon.awssdk.services.bedrockruntime.model.InvokeModelResponse;

final class Whole {
    private Whole() {}

    static void ask(TestCase test, Outcome outcome) {
        try (BedrockRuntimeClient client = test.client(BedrockRuntimeClient.builder())) {
            if (test.operation().equals("Converse")) {
                converse(client, test, outcome);
            } else {
                InvokeModelResponse answer = client.invokeModel(request -> request.modelId(test.model()).body(test.bytes()));
                outcome.chunk(answer.body().asUtf8String());
            }
        }
    }

    private static void converse(BedrockRuntimeClient client, TestCase test, Outcome outcome) {
        ConverseResponse answer = client.converse(request -> request.modelId(test.model()).messages(test.messages()));
        if (answer.output() == null) {
            return;
        }
        for (ContentBlock block : answer.output().message().content()) {
            outcome.text(block.text());
            if (block.toolUse() != null) {
                outcome.tool(block.toolUse().name());
                outcome.input(block.toolUse().input().toString());
            }
        }
        outcome.stop(answer.stopReasonAsString());
    }
}
