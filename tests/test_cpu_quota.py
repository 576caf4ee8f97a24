import pytest

from softgrad._cpu_quota import cpu_quota

# Files of Linux systems, and the number of CPUs that they allow.
SYSTEMS = {
    "version 2, in a container": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
    "version 2, no limit": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    "version 2, the smallest of nested groups": (
        {
            "proc/self/cgroup": "0::/system.slice/job.service/worker\n",
            "sys/fs/cgroup/system.slice/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/system.slice/job.service/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/system.slice/job.service/worker/cpu.max": "max 100000\n",
        },
        0.5,
    ),
    "version 2, outside the namespace": (
        {"proc/self/cgroup": "0::/../../job\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
        2,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "5:cpuset:/\n4:cpu,cpuacct:/docker/1f2e\n1:name=systemd:/x\n0::/system.slice\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/1f2e/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/1f2e/cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    "version 1, the host's path in a container": (
        {
            "proc/self/cgroup": "4:cpu:/kubepods/pod:1f2e\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "20000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        0.2,
    ),
    "version 1, no limit": (
        {
            "proc/self/cgroup": "4:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "another controller's quota": ({"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/cpu.max": "1 1\n"}, None),
    "damaged": (
        {"proc/self/cgroup": "0\n\n::\n0::/a\n", "sys/fs/cgroup/cpu.max": "\n", "sys/fs/cgroup/a/cpu.max": "1 0"},
        None,
    ),
    "no Linux": ({}, None),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_cpu_quota(tmp_path, name):
    files, expected = SYSTEMS[name]
    for path, text in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert cpu_quota(tmp_path) == expected


def test_this_system_has_a_quota_or_none():
    assert cpu_quota() is None or cpu_quota() > 0
