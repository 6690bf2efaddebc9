"""A secret for the tasks of aws/template.yaml, in AWS Secrets Manager; its value is never read here."""

from __future__ import annotations

from botocore.exceptions import ClientError

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.fleet.tasks import aws_errors_told, clients_of_aws


class Secret:
    """One secret by its name. Methods raise ConfigError for what the operator has to change, else ServiceError."""

    def __init__(self, name: str) -> None:
        self.name = name
        with aws_errors_told("set up AWS"):
            client = clients_of_aws()
            self._client = client("secretsmanager")
        self.arn = self._look()

    def _look(self) -> str:
        """Its ARN; empty if there is none. ConfigError while it waits to be deleted, for it takes no value then."""
        with aws_errors_told(f"look at secret {self.name}"):
            try:
                found = self._client.describe_secret(SecretId=self.name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
                    return ""
                raise
        if found.get("DeletedDate"):
            raise ConfigError(
                f"secret {self.name} waits to be deleted: aws secretsmanager restore-secret --secret-id {self.name}, "
                "or take another name"
            )
        return str(found["ARN"])

    def put(self, value: str, *, kms_key: str = "") -> str:
        """Make it, or put the value in place of the one that it has; its ARN."""
        with aws_errors_told(f"write secret {self.name}"):
            if self.arn:
                answer = self._client.put_secret_value(SecretId=self.arn, SecretString=value)
            else:
                key = {"KmsKeyId": kms_key} if kms_key else {}
                answer = self._client.create_secret(
                    Name=self.name, SecretString=value, Description="App token of kaltura-archiver", **key
                )
        self.arn = str(answer["ARN"])
        return self.arn
