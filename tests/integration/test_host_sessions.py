"""Sessions through a real broker, the real wrapper and the demo game: begun, stopped, killed, restarted."""

from pathlib import Path

from integration.host_control import control, demo


async def test_a_start_leads_to_running_and_a_stop_to_stopped(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        online = await it.host("online")
        assert online.lease == [] and online.boot == 1
        await it.start(5, 100, run=1, version=1)
        running = await it.session(100, "running")
        assert running.deployment_id == 5 and running.desired_version == 1
        await it.wish("stop", 5, "stopped", 2)
        stopped = await it.session(100, "stopped")
        assert (stopped.exit_code, stopped.desired_version) == (0, 2)
        assert it.words(100) == ["pending", "starting", "running", "stopping", "stopped"]
