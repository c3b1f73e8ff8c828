package com.outcrop;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.outcrop.v1.ToolUseBlock;
import java.io.IOException;
import java.io.StringReader;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;

/** The JSON of tools, whose numbers {@code google.protobuf.Value} holds as doubles. */
final class ToolJson {
  /** Protobuf decoders refuse values that are nested deeper. */
  private static final int MAX_NESTING = 30;

  /** The server takes JSON that is nested deeper for text. */
  private static final int MAX_PARSED = 127;

  private static final BigInteger EXACT = BigInteger.TWO.pow(53);
  private static final BigInteger LONG_MIN = BigInteger.TWO.pow(63).negate();
  private static final BigInteger LONG_END = BigInteger.TWO.pow(64);

  private ToolJson() {}

  /**
   * Sets the input of a tool use. Input that was truncated by {@code max_tokens} is not JSON and becomes a string. Input whose numbers are not exact
   * as doubles stays text, if the server accepts them there.
   */
  static void setInput(ToolUseBlock.Builder use, String text) {
    JsonElement json = parse(text.isEmpty() ? "{}" : text);
    if (json == null) {
      use.setInput(Value.newBuilder().setStringValue(text));
      return;
    }
    List<BigInteger> whole = new ArrayList<>();
    int nesting = examine(json, whole);
    boolean isExact = whole.stream().allMatch(number -> number.abs().compareTo(EXACT) <= 0);
    boolean isLong = whole.stream().anyMatch(number -> number.compareTo(LONG_MIN) < 0 || number.compareTo(LONG_END) >= 0);
    if (!isExact && !isLong && nesting <= MAX_NESTING) {
      use.setInputJson(text);
    } else {
      use.setInput(value(json, MAX_NESTING));
    }
  }

  /** The value of JSON text, or null if it is not JSON, or has a number that is no double. */
  private static JsonElement parse(String text) {
    JsonReader reader = new JsonReader(new StringReader(text));
    reader.setStrictness(Strictness.STRICT);
    reader.setNestingLimit(MAX_PARSED);
    try {
      JsonElement parsed = JsonParser.parseReader(reader);
      return reader.peek() == JsonToken.END_DOCUMENT ? parsed : null;
    } catch (JsonParseException | IOException | IllegalStateException error) {
      return null;
    }
  }

  /** Collects the whole numbers. Returns how deep the value is nested. */
  private static int examine(JsonElement json, List<BigInteger> whole) {
    int deepest = 0;
    if (json instanceof JsonObject object) {
      for (JsonElement member : object.asMap().values()) {
        deepest = Math.max(deepest, examine(member, whole));
      }
      return deepest + 1;
    }
    if (json instanceof JsonArray array) {
      for (JsonElement item : array) {
        deepest = Math.max(deepest, examine(item, whole));
      }
      return deepest + 1;
    }
    if (json instanceof JsonPrimitive primitive && primitive.isNumber() && primitive.getAsString().matches("-?[0-9]+")) {
      whole.add(new BigInteger(primitive.getAsString()));
    }
    return deepest;
  }

  /** The value, with JSON text in place of what is nested deeper than the levels. */
  private static Value value(JsonElement json, int levels) {
    Value.Builder value = Value.newBuilder();
    if (json instanceof JsonNull) {
      return value.setNullValue(NullValue.NULL_VALUE).build();
    }
    if (json instanceof JsonPrimitive primitive) {
      if (primitive.isBoolean()) {
        return value.setBoolValue(primitive.getAsBoolean()).build();
      }
      return (primitive.isNumber() ? value.setNumberValue(primitive.getAsDouble()) : value.setStringValue(primitive.getAsString())).build();
    }
    if (levels == 0) {
      return value.setStringValue(json.toString()).build();
    }
    if (json instanceof JsonArray array) {
      ListValue.Builder items = ListValue.newBuilder();
      array.forEach(item -> items.addValues(value(item, levels - 1)));
      return value.setListValue(items).build();
    }
    Struct.Builder members = Struct.newBuilder();
    ((JsonObject) json).asMap().forEach((name, member) -> members.putFields(name, value(member, levels - 1)));
    return value.setStructValue(members).build();
  }

  /** A value as JSON text. Doubles that are whole numbers are written as such. */
  static String text(Value value) {
    return json(value).toString();
  }

  private static JsonElement json(Value value) {
    return switch (value.getKindCase()) {
      case NUMBER_VALUE -> number(value.getNumberValue());
      case STRING_VALUE -> new JsonPrimitive(value.getStringValue());
      case BOOL_VALUE -> new JsonPrimitive(value.getBoolValue());
      case LIST_VALUE -> {
        JsonArray array = new JsonArray();
        value.getListValue().getValuesList().forEach(item -> array.add(json(item)));
        yield array;
      }
      case STRUCT_VALUE -> {
        JsonObject object = new JsonObject();
        value.getStructValue().getFieldsMap().forEach((name, member) -> object.add(name, json(member)));
        yield object;
      }
      case NULL_VALUE, KIND_NOT_SET -> JsonNull.INSTANCE;
    };
  }

  private static JsonPrimitive number(double number) {
    boolean isWhole = number == Math.rint(number) && Math.abs(number) <= EXACT.doubleValue();
    return isWhole ? new JsonPrimitive((long) number) : new JsonPrimitive(number);
  }
}
