"""The documented path of the Lambda handler that starts a job: `kaltura_archiver.run_task.handler`."""

from kaltura_archiver.fleet.tasks import handler

__all__ = ["handler"]
