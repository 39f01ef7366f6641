"""Topics and subscriptions of Pub/Sub as a user has them: made, filled and emptied with Google's own client."""

import json
import threading
import time

from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus
from google.protobuf import duration_pb2

from sorted_set import public_text


class Project:
    """A project with its topics. The environment of this process says where it is; `environment` is for other programs."""

    def __init__(self, name, environment):
        self.name = name
        self.environment = environment
        options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
        self.publisher = pubsub_v1.PublisherClient(publisher_options=options)
        self.subscriber = pubsub_v1.SubscriberClient()
        self._consumers = []

    def close(self):
        for consumer in self._consumers:
            consumer.stop()
        self.publisher.stop()
        self.subscriber.close()

    def topic(self, name):
        return self.publisher.topic_path(self.name, name)

    def subscription(self, name):
        return self.subscriber.subscription_path(self.name, name)

    def create(self, *topics, **settings):
        """Creates topics, each with a subscription of the same name."""
        for name in topics:
            self.publisher.create_topic(name=self.topic(name))
            request = {
                "name": self.subscription(name), "topic": self.topic(name), "ack_deadline_seconds": 10,
                "enable_exactly_once_delivery": True, **settings,
            }
            self.subscriber.create_subscription(request=request)

    def publish(self, topic, requests, ordering_key="", **attributes):
        """Publishes requests in the public format, or bytes as they are; returns when all are taken."""
        data = [request if isinstance(request, bytes) else public_text(request).encode() for request in requests]
        path = self.topic(topic)
        futures = [self.publisher.publish(path, part, ordering_key=ordering_key, **attributes) for part in data]
        return [future.result(60) for future in futures]

    def consume(self, subscription, **options):
        """Takes everything from a subscription from now on."""
        consumer = Consumer(self.subscriber, self.subscription(subscription), **options)
        self._consumers.append(consumer)
        return consumer

    def pull(self, subscription, count, timeout=5):
        """Takes so many messages at once, without acknowledging them."""
        found = []
        end = time.monotonic() + timeout
        while len(found) < count and time.monotonic() < end:
            try:
                answer = self.subscriber.pull(
                    subscription=self.subscription(subscription), max_messages=count - len(found), retry=None,
                    timeout=max(0.1, end - time.monotonic()),
                )
            except exceptions.DeadlineExceeded:
                break
            found += answer.received_messages
        return found


class Consumer:
    """Keeps what a subscription delivers, and acknowledges it; drops what it has by the attribute `result_key`."""

    def __init__(self, subscriber, path, outstanding=1000):
        self.raw = []
        self.by_key = {}
        self.refused_acknowledgements = 0
        self._news = threading.Condition()
        self._pull = subscriber.subscribe(
            path, self._receive, flow_control=pubsub_v1.types.FlowControl(max_messages=outstanding)
        )

    def _receive(self, message):
        acknowledgement = message.ack_with_response()
        with self._news:
            self.raw.append(message)
            self.by_key.setdefault(message.attributes.get("result_key", message.message_id), message)
            self._news.notify_all()
        acknowledgement.add_done_callback(self._acknowledged)

    def _acknowledged(self, future):
        error = future.exception()
        if isinstance(error, AcknowledgeError) and error.error_code is not AcknowledgeStatus.SUCCESS:
            self.refused_acknowledgements += 1

    def wait_for(self, count, timeout=20):
        """So many different messages, in the order of their arrival."""
        with self._news:
            enough = self._news.wait_for(lambda: len(self.by_key) >= count, timeout)
            assert enough, f"{len(self.by_key)} of {count} messages in {timeout} s"
            return list(self.by_key.values())

    def results(self, count, timeout=20):
        """So many results, by id."""
        found = [json.loads(message.data) for message in self.wait_for(count, timeout)]
        assert len({result["id"] for result in found}) == len(found), "different results for one request"
        return {result["id"]: result for result in found}

    def stop(self):
        self._pull.cancel()
        self._pull.result(30)


def seconds(value):
    return duration_pb2.Duration(seconds=value)
