namespace Overlay.Controller.Tests;

public sealed class OptionsTests
{
    [Theory]
    [InlineData("store: { kind: postgres }", "c.yaml:1: 'kind' of store: 'postgres' is not known; write sqlite or etcd")]
    [InlineData("store: { kind: etcd }", "c.yaml:1: store has no 'endpoints'")]
    [InlineData("store: { kind: etcd, file: /x, endpoints: [http://127.0.0.1:2379] }", "c.yaml:1: 'file' of store is for SQLite")]
    [InlineData("\nlisten: 7443", "c.yaml:2: 'listen' of the file: '7443' is no address with a port; write it as 0.0.0.0:7443 or \"[::]:7443\"")]
    [InlineData("listen: 0.0.0.0:7443", "c.yaml:1: tls has no 'certificate'")]
    [InlineData("tls: { certificate: /x }", "c.yaml:1: 'certificate' of tls has no use without 'listen'")]
    [InlineData("nodes: { leaseSeconds: 0 }", "c.yaml:1: 'leaseSeconds' of nodes: '0' is no whole number from 2 to 3600")]
    [InlineData("socks: /run/x.sock", "c.yaml:1: the file knows no key 'socks'; did you mean 'socket'?")]
    public void Parse_BadValue_NamesFileLineValueAndRemedy(string text, string expected)
    {
        var problems = new ConfigurationProblems("c.yaml");

        Assert.Null(ControllerOptionsReader.Parse(text, problems));

        Assert.Contains(problems.Lines, line => line.StartsWith(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Parse_SocketAlone_IsSqliteWithoutTcp()
    {
        ControllerOptions options = ControllerOptionsReader.Parse("socket: /run/c.sock", new ConfigurationProblems("c.yaml"))!;

        Assert.Equal((false, "/var/lib/overlay/control.db", null), (options.Store.IsEtcd, options.Store.File, options.Listen));
    }
}
