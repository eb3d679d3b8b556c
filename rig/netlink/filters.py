"""A packet filter in a namespace: what firewalls and dying routers do to connections."""

from rig.netlink.namespaces import run

TABLE = "tagrig"
CHAINS = ("input", "output")


class PacketFilter:
    """Rules of nftables in one namespace, all gone with it or by `clear`.

    Parameters
    ----------
    namespace : str
        Of the host that filters, for example the far end of a `TunLink`.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def drop(self, port: int) -> None:
        """Let packets to and from a TCP port vanish without a word."""
        self._load({"input": f"tcp dport {port} drop", "output": f"tcp sport {port} drop"})

    def drop_share(self, port: int, share_pct: int) -> None:
        """Let that many (1 to 99) of a hundred packets to a TCP port vanish, at random."""
        self._load({"input": f"tcp dport {port} numgen random mod 100 < {share_pct} drop"})

    def reset(self, port: int) -> None:
        """Answer each packet to a TCP port with a reset: connections break at once, new ones are refused."""
        self._load({"input": f"tcp dport {port} reject with tcp reset"})

    def clear(self) -> None:
        """Let everything pass again."""
        self._load({})

    def _load(self, rules: dict[str, str]) -> None:
        chains = "\n".join(
            f"add chain inet {TABLE} {hook} {{ type filter hook {hook} priority 0; }}\n"
            f"add rule inet {TABLE} {hook} {rules[hook]}"
            for hook in CHAINS
            if hook in rules
        )
        # Adding it first makes the removal of a table that is not there no error; one file is one transaction.
        said = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
        if chains:
            said += f"add table inet {TABLE}\n{chains}\n"
        run(["nft", "-f", "-"], namespace=self._namespace, said=said)
