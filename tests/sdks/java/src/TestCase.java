// A case of the input.

import java.util.List;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.client.config.ClientOverrideConfiguration;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlock;
import software.amazon.awssdk.services.bedrockruntime.model.ConversationRole;
import software.amazon.awssdk.services.bedrockruntime.model.Message;

record TestCase(String name, String operation, String model, String prompt, String body, String leave, boolean once) {
    TestCase(JsonNode node) {
        this(text(node, "case"), text(node, "operation"), text(node, "model"), text(node, "prompt"), text(node, "body"),
            text(node, "leave"), node.field("once").map(JsonNode::asBoolean).orElse(false));
    }

    private static String text(JsonNode node, String name) {
        return node.field(name).map(JsonNode::asString).orElse("");
    }

    /** A client of this case, with the retries of the SDK or without. */
    <B extends AwsClientBuilder<B, C>, C> C client(B builder) {
        if (once) {
            builder.overrideConfiguration(ClientOverrideConfiguration.builder().retryStrategy(retries -> retries.maxAttempts(1)).build());
        }
        return builder.build();
    }

    List<Message> messages() {
        return List.of(Message.builder().role(ConversationRole.USER).content(ContentBlock.fromText(prompt)).build());
    }

    SdkBytes bytes() {
        return SdkBytes.fromUtf8String(body);
    }
}
