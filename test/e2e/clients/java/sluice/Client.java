package sluice;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.DescribeStreamRequest;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEventStream;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardRequest;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/**
 * The AWS SDK for Java 2 as it comes, told by JSON lines on standard input what to call; clients.md describes the
 * lines. The argument is the client to use, sync or async. Endpoint, region and credentials come from the usual
 * AWS_ variables.
 */
public final class Client {
    private static final String MODEL = "software.amazon.awssdk.services.kinesis.model.";
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final Class<?> type; // the interface that has the operations
    private final Object client;

    private Client(Class<?> type, Object client) {
        this.type = type;
        this.client = client;
    }

    public static void main(String[] args) throws Exception {
        boolean sync = args[0].equals("sync");
        Client client = sync
            ? new Client(KinesisClient.class, KinesisClient.create())
            : new Client(KinesisAsyncClient.class, KinesisAsyncClient.create());
        print("ready", json -> json.writeValue("AWS SDK for Java " + VersionInfo.SDK_VERSION + " " + args[0]));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                client.obey(JsonNode.parser().parse(line).asObject());
            } catch (AwsServiceException e) {
                fail(e.getClass().getSimpleName(), e.awsErrorDetails().errorMessage(), e.statusCode());
            } catch (Exception e) {
                e.printStackTrace();
                fail(e.getClass().getSimpleName(), String.valueOf(e.getMessage()), 0);
            }
        }
        System.exit(0);
    }

    private void obey(Map<String, JsonNode> request) throws Exception {
        JsonNode input = request.get("input");
        if (request.containsKey("call")) {
            String operation = request.get("call").text();
            Class<?> requestType = Class.forName(MODEL + operation + "Request");
            String name = operation.substring(0, 1).toLowerCase() + operation.substring(1);
            SdkPojo answer = (SdkPojo) invoke(type.getMethod(name, requestType), client, Values.build(requestType, input));
            print("output", json -> Values.write(json, answer));
        } else if (request.containsKey("wait")) {
            Object waiter = invoke(type.getMethod("waiter"), client);
            Class<?> waiters = type.getMethod("waiter").getReturnType();
            Method method = waiters.getMethod("waitUntil" + request.get("wait").text(), DescribeStreamRequest.class);
            invoke(method, waiter, Values.build(DescribeStreamRequest.class, input));
            printDone();
        } else {
            subscribe((SubscribeToShardRequest) Values.build(SubscribeToShardRequest.class, input),
                Integer.parseInt(request.get("records").text()));
        }
    }

    /** Calls a method, waits for its future if it returns one, and throws what the SDK threw. */
    private static Object invoke(Method method, Object target, Object... arguments) throws Exception {
        try {
            Object result = method.invoke(target, arguments);
            return result instanceof CompletableFuture<?> future ? future.join() : result;
        } catch (InvocationTargetException | CompletionException e) {
            throw e.getCause() instanceof Exception cause ? cause : e;
        }
    }

    /** Ends after that many records, or with 0 when the server ends the subscription. */
    private void subscribe(SubscribeToShardRequest request, int records) throws Exception {
        CountDownLatch enough = new CountDownLatch(1);
        SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
            .onEventStream(events -> events.subscribe(new Printer(records, enough)))
            .build();
        CompletableFuture<Void> ended = ((KinesisAsyncClient) client).subscribeToShard(request, handler);
        ended.whenComplete((nothing, error) -> enough.countDown());
        enough.await();
        try {
            if (ended.isDone()) {
                ended.join();
            }
        } catch (CompletionException e) {
            throw e.getCause() instanceof Exception cause ? cause : e;
        }
        printDone();
    }

    /** Prints the events of a subscription, one asked for at a time, and cancels it after so many records. */
    private static final class Printer implements Subscriber<SubscribeToShardEventStream> {
        private final int records;
        private final CountDownLatch enough;
        private int seen;
        private Subscription subscription;

        Printer(int records, CountDownLatch enough) {
            this.records = records;
            this.enough = enough;
        }

        @Override
        public void onSubscribe(Subscription s) {
            subscription = s;
            s.request(1);
        }

        @Override
        public void onNext(SubscribeToShardEventStream message) {
            SubscribeToShardEvent event = (SubscribeToShardEvent) message;
            print("event", json -> Values.write(json, event));
            seen += event.records().size();
            if (records > 0 && seen >= records) {
                subscription.cancel();
                enough.countDown();
                return;
            }
            subscription.request(1);
        }

        @Override
        public void onError(Throwable t) {
            // The future has it too.
        }

        @Override
        public void onComplete() {
            // The future says so too.
        }
    }

    private interface Body {
        void write(JsonWriter json);
    }

    private static synchronized void print(String name, Body body) {
        JsonWriter json = JsonWriter.create();
        json.writeStartObject();
        json.writeFieldName(name);
        body.write(json);
        json.writeEndObject();
        OUT.println(new String(json.getBytes(), StandardCharsets.UTF_8));
    }

    private static void printDone() {
        print("output", json -> json.writeStartObject().writeEndObject());
    }

    private static void fail(String type, String message, int status) {
        print("error", json -> {
            json.writeStartObject();
            json.writeFieldName("type").writeValue(type);
            json.writeFieldName("message").writeValue(message);
            json.writeFieldName("status").writeValue(status);
            json.writeEndObject();
        });
    }
}
