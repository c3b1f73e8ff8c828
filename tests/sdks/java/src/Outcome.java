// What the application saw of an answer.

import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;

final class Outcome {
    private final String name;
    private final java.util.List<String> chunks = new java.util.ArrayList<>();
    private final StringBuffer text = new StringBuffer();
    private final StringBuffer input = new StringBuffer();
    private volatile String tool;
    private volatile String stop = "";
    private volatile Throwable error;

    Outcome(String name) {
        this.name = name;
    }

    boolean hasText() {
        return text.length() > 0;
    }

    void text(String more) {
        text.append(more == null ? "" : more);
    }

    void tool(String name) {
        tool = name;
    }

    void input(String more) {
        input.append(more);
    }

    void stop(String reason) {
        stop = reason == null ? "" : reason;
    }

    synchronized void chunk(String bytes) {
        chunks.add(bytes);
    }

    void fail(Throwable thrown) {
        boolean wrapped = thrown instanceof CompletionException || thrown instanceof ExecutionException;
        error = wrapped && thrown.getCause() != null ? thrown.getCause() : thrown;
    }

    synchronized String json() {
        JsonWriter out = JsonWriter.create().writeStartObject();
        field(out, "case", name);
        field(out, "text", text.toString());
        field(out, "stop", stop);
        out.writeFieldName("tool");
        if (tool == null) {
            out.writeNull();
        } else {
            out.writeStartObject();
            field(out, "name", tool);
            field(out, "input", input.toString());
            out.writeEndObject();
        }
        out.writeFieldName("chunks").writeStartArray();
        chunks.forEach(out::writeValue);
        out.writeEndArray().writeFieldName("error");
        if (error == null) {
            out.writeNull();
        } else {
            writeError(out);
        }
        return new String(out.writeEndObject().getBytes(), java.nio.charset.StandardCharsets.UTF_8);
    }

    /** The error, by the names that an application can catch. */
    private void writeError(JsonWriter out) {
        out.writeStartObject();
        field(out, "class", error.getClass().getSimpleName());
        boolean fromService = error instanceof AwsServiceException;
        AwsServiceException service = fromService ? (AwsServiceException) error : null;
        String code = fromService && service.awsErrorDetails() != null ? service.awsErrorDetails().errorCode() : "";
        field(out, "code", code == null ? "" : code);
        field(out, "message", String.valueOf(error.getMessage()));
        out.writeFieldName("status").writeValue(fromService ? service.statusCode() : 0);
        out.writeEndObject();
    }

    private static void field(JsonWriter out, String name, String value) {
        out.writeFieldName(name).writeValue(value);
    }
}
