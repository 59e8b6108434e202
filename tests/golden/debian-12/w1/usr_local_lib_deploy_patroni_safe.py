# managed by deploy (role patroni); changes made here are overwritten
"""Start Patroni 3.0 so that a leader which was frozen cannot take its lost lock back.

In Patroni 3.0 a leader whose lease ran out (a paused virtual machine, a stalled hypervisor, heavy swapping) gets a new
lease and writes its name over the leader key of etcd without asking who holds it by now. What it knows of the key comes
from a cache that is stale right after the freeze. The rightful leader then steps down, rewinds to the old one, and the
transactions that it confirmed in between are lost.

Here the key is written with the new lease only if it is still the very one that this node wrote, or if nobody holds it.
Patroni 4 does the same by itself. Any other version than 3.0 is started as it is.
"""

import logging
import sys
import time

from patroni.__main__ import main
from patroni.dcs import Leader, catch_return_false_exception
from patroni.dcs.etcd3 import Etcd3, Etcd3Error
from patroni.version import __version__

logger = logging.getLogger("patroni.deploy.safe_lock")


@catch_return_false_exception
def update_leader(self, *_leader):
    """Keep the leader key alive; False when it belongs to somebody else by now."""
    retry = self._retry.copy()

    def retrying(*args, **kwargs):
        kwargs["retry"] = retry
        return retry(*args, **kwargs)

    self._run_and_handle_exceptions(self._do_refresh_lease, True, retry=retrying)
    if not self._lease:
        return False

    leader = self.cluster.leader if self.cluster and isinstance(self.cluster.leader, Leader) else None
    if leader and leader.session == self._lease:
        return True

    def put_if(**condition):
        retry.deadline = retry.stoptime - time.time()
        if retry.deadline < 1:
            raise Etcd3Error("update_leader timeout")
        return self._run_and_handle_exceptions(
            self._client.put, self.leader_path, self._name, self._lease, retry=retrying, **condition
        )

    if leader and leader.name == self._name and put_if(mod_revision=leader.index):
        return True
    if put_if(create_revision=0):
        return True
    logger.warning("the leader key belongs to another member by now: it stays with it")
    return False


if __name__ == "__main__":
    if __version__.startswith("3.0."):
        Etcd3._update_leader = update_leader
    sys.exit(main())
