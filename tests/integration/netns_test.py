# SPDX-License-Identifier: Apache-2.0
"""Started by hand on three hosts (network namespaces), the processes form the cluster that `weir run` would."""
import os
import subprocess
import sys

import cluster
import hand_started

HOSTS = {"h1": "10.87.0.1", "h2": "10.87.0.2", "h3": "10.87.0.3"}


def enter_namespaces():
    """Goes on in network and mount namespaces of our own, which vanish with the last process in them."""
    flags = "-nm" if os.getuid() == 0 else "-Urnm"
    os.environ["WEIR_NETNS"] = "1"
    os.execvp("unshare", ["unshare", flags, sys.executable, os.path.abspath(__file__)] + sys.argv[1:])


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def make_hosts():
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    ip("link", "set", "lo", "up")
    ip("link", "add", "weir-br", "type", "bridge")
    ip("link", "set", "weir-br", "up")
    for host, address in HOSTS.items():
        ip("netns", "add", host)
        ip("-n", host, "link", "set", "lo", "up")
        ip("link", "add", f"v-{host}", "type", "veth", "peer", "name", "eth0", "netns", host)
        ip("link", "set", f"v-{host}", "master", "weir-br", "up")
        ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", host, "link", "set", "eth0", "up")


class NetworkNamespacesTest(cluster.ClusterTest):

    def test_a_cluster_started_by_hand_on_three_hosts_gives_the_bits_of_weir_run(self):
        sets = ("train.epochs=2", "servers.count=2", "workers.count=3", "train.gradient_shards=3")
        expected = self.finish(cluster.DIGITS, *sets)
        started = hand_started.Cluster(self, topology=cluster.DIGITS, servers=2, workers=3, sets=sets, host=HOSTS["h1"],
                                       server_host=HOSTS["h2"], prefix=lambda role, rank: ["ip", "netns", "exec", {"coordinator": "h1", "ps": "h2",
                                                                                          "worker": "h3"}[role]])
        for rank in range(3):
            started.worker(rank)
        for rank in range(3):
            started.wait_for_worker(rank)
        summary = started.finish()
        self.assertEqual(summary["weights_sha256"], expected["weights_sha256"])
        self.assertEqual(summary["steps"], expected["steps"])


if __name__ == "__main__":
    if not os.environ.get("WEIR_NETNS"):
        enter_namespaces()
    make_hosts()
    cluster.main()
