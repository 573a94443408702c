using System.Net;
using Overlay.Agent.Configuration;

namespace Overlay.Agent.Tests.Configuration;

public sealed class ObservationConfigurationTests
{
    [Fact]
    public void Parse_NothingSaid_KeepsARingAndListensNowhere()
    {
        OverlaydOptions options = SampleConfiguration.Read();

        Assert.Null(options.Metrics.Listen);
        Assert.Null(options.Metrics.Otlp);
        Assert.Equal((500, 512), (options.Metrics.PeerLimit.Value, options.Capture.Ring.Value));
        Assert.Null(options.Capture.Alarms);
    }

    [Fact]
    public void Parse_EveryKey_IsTaken()
    {
        OverlaydOptions options = SampleConfiguration.Read(SampleConfiguration.Text + """
            metrics:
              listen: "[::1]:9479"
              peerLimit: 10
              otlp: { endpoint: "https://collector.example:4318", protocol: http, intervalSeconds: 5 }
            capture: { ring: 0, alarms: /var/lib/overlay/alarms }

            """);

        Assert.Equal(new IPEndPoint(IPAddress.IPv6Loopback, 9479), options.Metrics.Listen?.Value);
        Assert.Equal((new Uri("https://collector.example:4318"), OtlpProtocol.Http, 5), (options.Metrics.Otlp!.Endpoint.Value, options.Metrics.Otlp.Protocol.Value, options.Metrics.Otlp.IntervalSeconds.Value));
        Assert.Equal((10, 0, "/var/lib/overlay/alarms"), (options.Metrics.PeerLimit.Value, options.Capture.Ring.Value, options.Capture.Alarms?.Value));
    }

    [Theory]
    [InlineData("metrics: { listen: 9479 }", "'9479' is no address with a port")]
    [InlineData("metrics: { listen: \"10.1:80\" }", "'10.1:80' is no address with a port")]
    [InlineData("metrics: { listen: 127.0.0.1 }", "'127.0.0.1' is no address with a port")]
    [InlineData("metrics: { listen: \"localhost:9479\" }", "write it as 127.0.0.1:9479")]
    [InlineData("metrics: { port: 9479 }", "metrics knows no key 'port'")]
    [InlineData("metrics: { otlp: { endpoint: \"collector:4317\" } }", "'collector:4317' is no URL of a collector")]
    [InlineData("metrics: { otlp: { protocol: grpc } }", "endpoint")]
    [InlineData("capture: { ring: 70000 }", "'70000' is no whole number from 0 to 65536")]
    [InlineData("capture: { alarms: alarms }", "'alarms' is no absolute path of a file")]
    public void Parse_WhatCannotBe_IsRefusedWithLineAndRemedy(string section, string problem)
    {
        var problems = new ConfigurationProblems("overlay.yaml");

        Assert.Null(ConfigurationReader.Parse(SampleConfiguration.Text + section + "\n", problems));

        Assert.Contains(problems.Lines, line => line.StartsWith("overlay.yaml:", StringComparison.Ordinal) && line.Contains(problem, StringComparison.Ordinal));
    }
}
