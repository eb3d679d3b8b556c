"""Clause 5: three NATS nodes on loopback, and what can happen to each of them."""

from pathlib import Path

import pytest

from rig.brokers.nats import NatsBroker, NatsCluster
from tests.delivery.course import Course
from tests.delivery.worker import Job

RATE_HZ = 200

LATE_MAX = 20
"""First arrivals of a run that may be late: when the node that served the subscriber, or its quorum, is gone, NATS
hands on again, after newer ones, what was on its way to it. One of 1,700 was seen. A reader orders by ``sequence``, as
the contract says; the publisher has one alert of a tag under way at a time."""


def endpoint(node: NatsBroker) -> str:
    return f"{node.host}:{node.port}"


class ClusterCourse:
    """A cluster, a publisher that begins at the first node, a subscriber that begins at the second."""

    def __init__(self, course: Course, cluster: NatsCluster) -> None:
        self.course = course
        self.cluster = cluster
        ends = tuple(endpoint(node) for node in cluster.nodes)
        self.near = cluster.nodes[0]
        self.course.read(*ends[1:], ends[0], version="3.1.1")
        self.life = course.publish((ends,), version="3.1.1")
        self.life.submit(Job(count=100, rate_hz=RATE_HZ))
        self.life.wait_sent()

    def disturb(self, *nodes: NatsBroker, for_s: int, pause: bool = False) -> str:
        """Kill (or pause) nodes for some seconds of load, bring them back, and wait until everything has arrived."""
        submitted = self.life.stats()["submitted"]
        self.life.submit(Job(count=for_s * RATE_HZ, rate_hz=RATE_HZ))
        self.life.wait_for("load", lambda s: s["submitted"] > submitted + RATE_HZ // 10)
        for node in nodes:
            node.pause() if pause else node.kill()
        self.life.wait_for("the end of the job", lambda s: not s["jobs"], within_s=60)
        for node in nodes:
            node.resume() if pause else node.start()
        self.life.wait_sent(within_s=90)
        self.cluster.wait_healthy()
        verdict = self.course.verdict(within_s=90)
        return f"{verdict}, longest silence {self.course.longest_silence_s():.1f} s"


def test_clause_5_publishers_node_is_killed(course: Course, tmp_path: Path) -> None:
    with NatsCluster(tmp_path / "cluster") as cluster:
        run = ClusterCourse(course, cluster)
        print(run.disturb(run.near, for_s=1))  # noqa: T201 - shown with -s
        assert run.life.close(60)["left"] == 0
        course.verdict().check(may_come_late=LATE_MAX)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["leader", "publisher's node", "subscriber's node", "two of three", "pause"])
def test_clause_5_each_fault_of_a_cluster(course: Course, tmp_path: Path, fault: str) -> None:
    with NatsCluster(tmp_path / "cluster") as cluster:
        run = ClusterCourse(course, cluster)
        leader = cluster.leader()
        match fault:
            case "leader":
                said = run.disturb(leader, for_s=8)
            case "publisher's node":
                said = run.disturb(run.near, for_s=8)
            case "subscriber's node":
                said = run.disturb(cluster.nodes[1], for_s=8)
            case "two of three":
                other = next(node for node in cluster.nodes if node is not leader)
                said = run.disturb(leader, other, for_s=8)
            case _:
                said = run.disturb(run.near, for_s=8, pause=True)
        print(f"{fault}: {said}")  # noqa: T201 - shown with -s
        assert run.life.close(60)["left"] == 0
        course.verdict().check(may_come_late=LATE_MAX)
