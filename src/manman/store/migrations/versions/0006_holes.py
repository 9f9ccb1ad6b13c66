"""From which journals something is missing is found without reading all of them; releases before 0004 go on starting sessions."""

revision = "0006"
down_revision = "0005"
