"""Settings: how this server is to be run, read from TIANZI_* environment variables and checked once."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tianzi_models.gpu import Gpu

PREFIX = "TIANZI_"
CGROUP = Path("/sys/fs/cgroup")

Count: TypeAlias = Annotated[int, Field(ge=1)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Cores that this process may use: its affinity, cut to its container's CPU quota; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, _cpu_quota(cgroup))))


def _cpu_quota(cgroup: Path) -> float:
    """Cores that the cgroup, of version 2 or 1, grants; infinite where it grants all or there is none."""
    try:
        if (cgroup / "cpu.max").exists():  # "150000 100000": one and a half cores; "max 100000": all
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else float("inf")
    except (OSError, ValueError):
        return float("inf")


def address(host: str, port: int) -> str:
    """host:port as URLs and gRPC write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Settings(BaseSettings):
    """One frozen value; arguments win over the environment, which wins over the defaults.

    Raises:
        pydantic.ValidationError: a value of the wrong type or range, or a TIANZI_ variable that means nothing.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. 0.0.0.0 opens the server to the network: TLS and tokens are for that.",
    )
    port: int = Field(50051, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    http_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the same calls over HTTP, and of a page to try them; 0: a free one.",
    )
    http_page: bool = Field(True, description="Whether that port shows the page, and the one that documents the calls.")
    http_cors: str = Field(
        "", description="Origins whose pages may call that port from a browser, with commas between; * is any."
    )
    http_body_s: Seconds = Field(30.0, description="How long the body of an HTTP request may take to come in.")
    bundle_root: Path | None = Field(
        None, description="Folder with ocr/1 and cloze/1. Unset: $BUNDLE_ROOT, else the bundles that came along."
    )
    versions: Count = Field(
        1, description="How many versions of a model serve, the newest ones; a request may name one."
    )
    reload_s: Seconds = Field(
        0.0, description="How often to look for new bundles. 0: on SIGHUP only, which works with every setting."
    )
    tls_certificate: Path | None = Field(
        None,
        description="PEM file with the certificate and its chain: the port then speaks TLS only. Read when renewed.",
    )
    tls_key: Path | None = Field(None, description="PEM file with the certificate's key, not encrypted.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file with the authorities of clients' certificates: then every client must show one."
    )
    token_file: Path | None = Field(
        None,
        description="File with the tokens that callers may bring, one a line: then every call but health needs one.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="cuda fails the start where CUDA does not answer; auto falls back to the CPU."
    )
    gpu_fp16: bool = Field(True, description="On a card, whether to run a bundle's fp16 graph where it has one.")
    gpu_memory_bytes: Count | None = Field(
        None, description="What each model may take of the card's memory. Unset: what it needs."
    )
    cuda_graph_rows: int = Field(
        0, ge=0, description="Runs of the recogniser of up to so many rows are recorded as CUDA graphs; 0: none."
    )
    tensorrt_cache: Path | None = Field(
        None, description="Folder that can be written, for the engines of TensorRT, which then runs what it can."
    )
    workers: Count = Field(
        1,
        description="Servers that share the port, each in a process of its own with its own models, threads, queues "
        "and limits; connections are spread over them. Half of the cores or as many, where many call.",
    )
    threads: Count = Field(
        default_factory=available_cpus,
        description="Threads that decode requests, and CPU threads of a run; the recogniser's, beside which images are "
        "decoded, has half of them. Default: the cores granted to us, shared among the workers.",
    )
    own_cores: bool = Field(
        True,
        description="Whether each of several workers keeps to cores of its own, where all of their threads together "
        "fill the machine. Off where other work needs the same cores.",
    )
    max_message_bytes: Count = Field(16 * 2**20, description="Largest request or answer, in bytes.")
    max_batch_items: Count = Field(256, description="Items that one batch call may hold.")
    batch_rows: Count = Field(64, description="Rows that one model run may take; on a CPU more gain nothing.")
    batch_tokens: Count = Field(
        4096, description="Words that one run of the cloze model may read, padding included; some 0.1 s of one core."
    )
    queue_rows: Count = Field(
        1024,
        description="Rows of one model under way, waiting or running. A call is refused while so many are; batches and "
        "streams may take three quarters, streams half.",
    )
    queue_bytes: Count = Field(
        256 * 2**20, description="Bytes of one model's requests under way, with the same shares as rows."
    )
    stream_rows: Count = Field(64, description="Rows of one stream under way; then the stream is read no further.")
    drain_s: Seconds = Field(
        1.0, description="From NOT_SERVING to refusing calls: time for load balancers to look elsewhere."
    )
    grace_s: Seconds = Field(20.0, description="How long calls under way may go on after that.")
    connection_age_s: Seconds = Field(
        0.0,
        description="How old a connection grows, give or take a tenth, until its client has to look the address up and "
        "connect anew, and so finds new servers. Calls under way go on. 0: as old as the client likes.",
    )
    reflection: bool = Field(True, description="Whether tools such as grpcurl can ask for the API.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz over HTTP; 0 takes a free one."
    )
    metrics_host: str = Field("127.0.0.1", min_length=1, description="Address of that port.")
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or one JSON object each.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug logs each call.")

    @model_validator(mode="after")
    def _require_whole_tls(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key: one is of no use without the other")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca: needs tls_certificate and tls_key")
        return self

    @model_validator(mode="after")
    def _refuse_shared_ports(self) -> "Settings":
        named: dict[int, str] = {}
        for name in ("port", "http_port", "metrics_port"):
            port = getattr(self, name)
            if port and named.setdefault(port, name) != name:
                raise ValueError(f"{named[port]} and {name}: {port} in both, each needs one of its own")
        return self

    @model_validator(mode="after")
    def _refuse_two_ways_of_graphs(self) -> "Settings":
        if self.cuda_graph_rows and self.tensorrt_cache is not None:
            raise ValueError("cuda_graph_rows and tensorrt_cache: one or the other")
        return self

    @property
    def gpu(self) -> Gpu:
        """What of this is for a card."""
        return Gpu(
            fp16=self.gpu_fp16,
            memory_bytes=self.gpu_memory_bytes,
            graph_rows=self.cuda_graph_rows,
            tensorrt_cache=self.tensorrt_cache,
        )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        """A misspelt variable must not pass for a default; pydantic-settings looks at known names only."""
        names = (name for name in os.environ if name.upper().startswith(PREFIX))
        unknown = sorted(name for name in names if name.upper().removeprefix(PREFIX).lower() not in cls.model_fields)
        if unknown:
            raise ValueError(f"environment: {', '.join(unknown)}: no such setting")
        return values
