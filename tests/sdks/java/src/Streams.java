// Streams, with the asynchronous client.

import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeAsyncClient;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlockDelta;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlockDeltaEvent;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlockStartEvent;
import software.amazon.awssdk.services.bedrockruntime.model.ConverseStreamResponseHandler;
import software.amazon.awssdk.services.bedrockruntime.model.InvokeModelWithResponseStreamResponseHandler;

final class Streams {
    private Streams() {}

    static void ask(TestCase test, Outcome outcome) throws Exception {
        BedrockRuntimeAsyncClient client = test.client(BedrockRuntimeAsyncClient.builder());
        // Completes when the application wants no more.
        CompletableFuture<Void> left = new CompletableFuture<>();
        boolean converse = test.operation().equals("ConverseStream");
        CompletableFuture<Void> answer = converse ? converse(client, test, outcome, left) : invoke(client, test, outcome, left);
        left.thenRun(() -> answer.cancel(true));
        try {
            answer.get();
        } catch (CancellationException cancelled) {
            if (!left.isDone()) {
                throw cancelled;
            }
        } finally {
            // A stream that was left must end without the end of its client.
            if (!left.isDone()) {
                client.close();
            }
        }
    }

    private static CompletableFuture<Void> converse(
            BedrockRuntimeAsyncClient client, TestCase test, Outcome outcome, CompletableFuture<Void> left) {
        Consumer<ContentBlockStartEvent> start = event -> {
            if (event.start().toolUse() != null) {
                outcome.tool(event.start().toolUse().name());
            }
        };
        Consumer<ContentBlockDeltaEvent> delta = event -> {
            ContentBlockDelta part = event.delta();
            outcome.text(part.text());
            if (part.toolUse() != null) {
                outcome.input(part.toolUse().input());
            }
            if (!test.leave().isEmpty() && outcome.hasText()) {
                left.complete(null);
            }
        };
        ConverseStreamResponseHandler.Visitor visitor = ConverseStreamResponseHandler.Visitor.builder()
            .onContentBlockStart(start)
            .onContentBlockDelta(delta)
            .onMessageStop(event -> outcome.stop(event.stopReasonAsString()))
            .build();
        ConverseStreamResponseHandler handler = ConverseStreamResponseHandler.builder().subscriber(visitor).build();
        return client.converseStream(request -> request.modelId(test.model()).messages(test.messages()), handler);
    }

    private static CompletableFuture<Void> invoke(
            BedrockRuntimeAsyncClient client, TestCase test, Outcome outcome, CompletableFuture<Void> left) {
        InvokeModelWithResponseStreamResponseHandler.Visitor visitor = InvokeModelWithResponseStreamResponseHandler.Visitor.builder()
            .onChunk(part -> {
                outcome.chunk(part.bytes().asUtf8String());
                if (!test.leave().isEmpty()) {
                    left.complete(null);
                }
            })
            .build();
        InvokeModelWithResponseStreamResponseHandler handler =
            InvokeModelWithResponseStreamResponseHandler.builder().subscriber(visitor).build();
        return client.invokeModelWithResponseStream(request -> request.modelId(test.model()).body(test.bytes()), handler);
    }
}
