"""The standard variables: read as the specification says, refused where they are wrong."""

from __future__ import annotations

import pytest

from brama.telemetry import ConfigError
from brama.telemetry.environment import Batch, Sampler, check_of_the_sdk, read, withheld


def test_without_any_variable_everything_goes_to_localhost_by_http() -> None:
    settings = read({})

    assert settings.traces.exporters == settings.metrics.exporters == ("otlp",)
    assert settings.traces.otlp is not None
    assert settings.metrics.otlp is not None
    assert settings.traces.otlp.endpoint == "http://localhost:4318/v1/traces"
    assert settings.metrics.otlp.endpoint == "http://localhost:4318/v1/metrics"
    assert settings.traces.otlp.protocol == "http/protobuf"
    assert settings.traces.otlp.compression == "none"
    assert settings.traces.otlp.timeout == 3.0
    assert settings.sampler == Sampler("parentbased_always_on", 1.0)
    assert settings.batch == Batch(2048, 512, 5000.0)
    assert settings.metric_interval == 60000.0


def test_an_empty_variable_is_an_unset_one() -> None:
    empty = dict.fromkeys(
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"], " "
    )

    assert read(empty) == read({})
    assert withheld(empty) is None


@pytest.mark.parametrize("base", ["http://c:4318", "http://c:4318/"])
def test_a_general_endpoint_gets_the_signal_appended(base: str) -> None:
    settings = read({"OTEL_EXPORTER_OTLP_ENDPOINT": base})

    assert settings.traces.otlp is not None
    assert settings.traces.otlp.endpoint == "http://c:4318/v1/traces"


def test_an_endpoint_of_one_signal_is_taken_as_it_is() -> None:
    settings = read(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:9/somewhere",
        }
    )

    assert settings.traces.otlp is not None
    assert settings.metrics.otlp is not None
    assert settings.traces.otlp.endpoint == "http://t:9/somewhere"
    assert settings.metrics.otlp.endpoint == "http://c:4318/v1/metrics"


def test_arguments_go_before_variables() -> None:
    settings = read(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:9/somewhere",
            "OTEL_SERVICE_NAME": "from-variable",
        },
        endpoint="http://argument:1",
        service_name="from-argument",
    )

    assert settings.traces.otlp is not None
    assert settings.traces.otlp.endpoint == "http://argument:1/v1/traces"
    assert settings.resource["service.name"] == "from-argument"


def test_a_variable_of_one_signal_goes_before_the_general_one() -> None:
    settings = read(
        {
            "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "7.5",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=general",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Api-Key=own%20one, x = y ",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "Deflate",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
        }
    )

    traces, metrics = settings.traces.otlp, settings.metrics.otlp
    assert traces is not None
    assert metrics is not None
    assert (traces.timeout, metrics.timeout) == (5.0, 7.5)
    assert traces.headers == {"api-key": "own one", "x": "y"}
    assert metrics.headers == {"api-key": "general"}
    assert (traces.compression, metrics.compression) == ("gzip", "deflate")
    assert traces.certificate == metrics.certificate == "/ca.pem"


def test_port_4317_means_grpc_unless_a_protocol_is_given() -> None:
    at_grpc = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}
    implied = read(at_grpc).traces.otlp
    given = read(at_grpc | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}).traces.otlp

    assert implied is not None
    assert given is not None
    assert (implied.protocol, implied.endpoint) == ("grpc", "http://c:4317")
    assert (given.protocol, given.endpoint) == ("http/protobuf", "http://c:4317/v1/traces")


def test_exporters_are_a_list_or_none() -> None:
    settings = read({"OTEL_TRACES_EXPORTER": "otlp, console", "OTEL_METRICS_EXPORTER": "none"})

    assert settings.traces.exporters == ("otlp", "console")
    assert settings.metrics.exporters == ()
    assert settings.metrics.otlp is None


def test_resource_attributes_are_read_and_the_service_name_goes_before_them() -> None:
    settings = read(
        {
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=t%C3%A9st",
            "OTEL_SERVICE_NAME": "b",
        }
    )

    assert settings.resource == {"service.name": "b", "deployment.environment.name": "tést"}


def test_the_argument_of_a_sampler_without_a_ratio_is_ignored() -> None:
    plain = {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "endpoint=x"}
    ratio = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}

    assert read(plain).sampler == Sampler("always_on", 1.0)
    assert read(ratio).sampler == Sampler("traceidratio", 0.25)


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({"ENDPOINT": "collector:4317"}, "https://collector:4317"),
        ({"ENDPOINT": "collector:4317", "INSECURE": "true"}, "http://collector:4317"),
        ({"ENDPOINT": "collector:9", "PROTOCOL": "grpc"}, "https://collector:9"),
        ({"ENDPOINT": "http://collector:4317", "INSECURE": "false"}, "http://collector:4317"),
        ({"ENDPOINT": "collector:4317", "TRACES_INSECURE": "true"}, "http://collector:4317"),
    ],
)
def test_a_grpc_endpoint_needs_no_scheme(variables: dict[str, str], endpoint: str) -> None:
    environ = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in variables.items()}
    found = read(environ).traces.otlp
    assert found is not None
    assert (found.protocol, found.endpoint) == ("grpc", endpoint)


def test_an_endpoint_without_a_scheme_may_be_given_and_is_for_grpc_alone() -> None:
    found = read({}, endpoint="collector:4317").logs.otlp
    assert found is not None
    assert (found.protocol, found.endpoint) == ("grpc", "https://collector:4317")
    with pytest.raises(ConfigError, match=r"^endpoint must be a URL"):
        read({}, endpoint="collector:4318")


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"OTEL_SDK_DISABLED": "TRUE"}, "OTEL_SDK_DISABLED is true"),
        (
            {"OTEL_CONFIG_FILE": "otel.yaml"},
            "OTEL_CONFIG_FILE leaves it to the SDK's own configuration",
        ),
        ({"OTEL_SDK_DISABLED": "false"}, None),
    ],
)
def test_two_variables_withhold_everything(environ: dict[str, str], reason: str | None) -> None:
    assert withheld(environ) == reason


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "must be one of http/protobuf, grpc, got: 'http/json'",
        ),
        (
            "OTEL_TRACES_EXPORTER",
            "oltp",
            "must be one of otlp, console, none, got: 'oltp'. Did you mean 'otlp'?",
        ),
        ("OTEL_METRICS_EXPORTER", "none,otlp", "must be none alone, or a list without it"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "must be one of none, gzip, deflate"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "must be a number above 0, got: '10s'"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "must be a number above 0, got: '0'"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan", "must be a number above 0, got: 'nan'"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "localhost:4318",
            "must be a URL such as http://localhost:4318, got: 'localhost:4318'",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c:port", "must be a URL such as"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "must be one of always_on, always_off"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2.5", "must be a whole number above 0, got: '2.5'"),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "9999",
            "must be at most OTEL_BSP_MAX_QUEUE_SIZE (2048), got: 9999",
        ),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "must be a number above 0, got: '-1'"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon", "must be a number above 0, got: 'soon'"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=1,b",
            "must be a list like key=value,key=value, got: \"an entry 2 without '='\"",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_the_variable_the_rule_and_the_value(
    variable: str, value: str, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read({variable: value})

    assert str(caught.value).startswith(f"{variable} {text}")


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-3", "must be a whole number from 0 on, got: '-3'"),
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "x", "must be a whole number from 0 on"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "alwayson", "must be one of always_on, always_off"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "sideways",
            "must be one of cumulative, delta, lowmemory, got: 'sideways'",
        ),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "exponential",
            "must be one of explicit_bucket_histogram, base2_exponential_bucket_histogram",
        ),
    ],
)
def test_what_the_sdk_reads_itself_is_checked_before_it_is_loaded(
    variable: str, value: str, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_of_the_sdk({variable: value})
    assert str(caught.value).startswith(f"{variable} {text}")
    check_of_the_sdk({variable: ""})


def test_a_wrong_ratio_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        read({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"})

    assert str(caught.value) == "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, got: '1.5'"


def test_a_switch_is_true_or_false_and_nothing_else() -> None:
    with pytest.raises(ConfigError) as caught:
        withheld({"OTEL_SDK_DISABLED": "1"})

    assert str(caught.value) == "OTEL_SDK_DISABLED must be true or false, got: '1'"


def test_an_error_about_headers_does_not_show_them() -> None:
    """They carry credentials, and errors end up in logs."""
    with pytest.raises(ConfigError) as caught:
        read({"OTEL_EXPORTER_OTLP_HEADERS": "authorization: Bearer s3cret"})

    assert "s3cret" not in repr(caught.value) + str(caught.value)


def test_credentials_in_an_endpoint_are_not_shown() -> None:
    otlp = read({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:s3cret@c:4318"}).traces.otlp
    assert otlp is not None
    assert otlp.shown == "https://c:4318/v1/traces"

    with pytest.raises(ConfigError) as caught:
        read({}, endpoint="ftp://user:s3cret@c")
    assert "s3cret" not in str(caught.value)
