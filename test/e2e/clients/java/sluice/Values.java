package sluice;

import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.SdkField;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.core.traits.ListTrait;
import software.amazon.awssdk.core.traits.MapTrait;
import software.amazon.awssdk.core.util.SdkAutoConstructList;
import software.amazon.awssdk.core.util.SdkAutoConstructMap;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.utils.builder.Buildable;

/** Between the JSON of the lines and the SDK's own requests and answers, by what they tell of their members. */
final class Values {
    private Values() {
    }

    /** Builds a request of the SDK. */
    static Object build(Class<?> type, JsonNode input) throws ReflectiveOperationException {
        return fill((SdkPojo) type.getMethod("builder").invoke(null), input);
    }

    private static Object fill(SdkPojo builder, JsonNode input) {
        for (Map.Entry<String, JsonNode> entry : input.asObject().entrySet()) {
            SdkField<?> field = builder.sdkFieldNameToField().get(entry.getKey());
            if (field == null) {
                throw new IllegalArgumentException("the SDK knows no " + entry.getKey());
            }
            field.set(builder, read(field, entry.getValue()));
        }
        return ((Buildable) builder).build();
    }

    private static Object read(SdkField<?> field, JsonNode node) {
        switch (field.marshallingType().getKnownType()) {
            case STRING:
                return node.text();
            case INTEGER:
                return Integer.valueOf(node.text());
            case LONG:
                return Long.valueOf(node.text());
            case BOOLEAN:
                return node.asBoolean();
            case SDK_BYTES:
                return SdkBytes.fromByteArray(java.util.Base64.getDecoder().decode(node.field("$bytes").get().text()));
            case INSTANT:
                return Instant.ofEpochMilli(Long.parseLong(node.field("$time").get().text()));
            case SDK_POJO:
                return fill(field.constructor().get(), node);
            case LIST:
                List<Object> list = new ArrayList<>();
                for (JsonNode element : node.asArray()) {
                    list.add(read(field.getTrait(ListTrait.class).memberFieldInfo(), element));
                }
                return list;
            case MAP:
                Map<String, Object> map = new LinkedHashMap<>();
                node.asObject().forEach((key, value) ->
                    map.put(key, read(field.getTrait(MapTrait.class).valueFieldInfo(), value)));
                return map;
            default:
                throw new IllegalArgumentException(field.memberName() + " is of a kind that no operation had");
        }
    }

    /** Writes an answer of the SDK. What the server did not send is left out. */
    static void write(JsonWriter json, SdkPojo answer) {
        json.writeStartObject();
        for (SdkField<?> field : answer.sdkFields()) {
            Object value = field.getValueOrDefault(answer);
            if (value == null || value instanceof SdkAutoConstructList || value instanceof SdkAutoConstructMap) {
                continue;
            }
            json.writeFieldName(field.locationName());
            writeValue(json, value);
        }
        json.writeEndObject();
    }

    private static void writeValue(JsonWriter json, Object value) {
        if (value instanceof SdkPojo pojo) {
            write(json, pojo);
        } else if (value instanceof SdkBytes bytes) {
            json.writeStartObject().writeFieldName("$bytes")
                .writeValue(java.util.Base64.getEncoder().encodeToString(bytes.asByteArrayUnsafe())).writeEndObject();
        } else if (value instanceof Instant time) {
            json.writeStartObject().writeFieldName("$time").writeValue(time.toEpochMilli()).writeEndObject();
        } else if (value instanceof List<?> list) {
            json.writeStartArray();
            list.forEach(element -> writeValue(json, element));
            json.writeEndArray();
        } else if (value instanceof Map<?, ?> map) {
            json.writeStartObject();
            map.forEach((key, element) -> {
                json.writeFieldName((String) key);
                writeValue(json, element);
            });
            json.writeEndObject();
        } else if (value instanceof Boolean truth) {
            json.writeValue(truth);
        } else if (value instanceof Long || value instanceof Integer) {
            json.writeValue(((Number) value).longValue());
        } else {
            json.writeValue(value.toString());
        }
    }
}
