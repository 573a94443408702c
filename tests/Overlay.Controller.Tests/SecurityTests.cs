using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;
using Overlay.Testing;

namespace Overlay.Controller.Tests;

/// <summary>Certificates: what they allow, and that the other side says why one is refused.</summary>
public sealed class SecurityTests : IAsyncLifetime
{
    private ControllerLab _lab = null!;

    public async Task InitializeAsync() => _lab = await ControllerLab.StartNewAsync();

    public async Task DisposeAsync() => await _lab.DisposeAsync();

    [Fact]
    public async Task Register_CertificateOfAnotherNode_IsRefused()
    {
        using GrpcChannel channel = _lab.OpenNode("a");

        GrpcException refused = await RefusedAndLoggedAsync(channel);

        Assert.Equal(GrpcStatusCode.PermissionDenied, refused.Status);
        Assert.Contains("the certificate is that of node 'a', which cannot act as node 'b'", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Register_ExpiredCertificate_IsRefusedWithItsDate()
    {
        _lab.Issue("old", new CertificateIdentity(CertificateRole.Node, "b"), [], DateTimeOffset.UtcNow.AddMinutes(-3), TimeSpan.FromMinutes(1));
        using GrpcChannel channel = _lab.Open("old");

        GrpcException refused = await RefusedAndLoggedAsync(channel);

        Assert.Equal(GrpcStatusCode.Unauthenticated, refused.Status);
        Assert.Contains("the certificate of node 'b' expired on ", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Register_CertificateOfAnotherAuthority_IsRefusedNamingIt()
    {
        IssuedCertificate foreign = CertificateAuthority.Create("foreign", DateTimeOffset.UtcNow, TimeSpan.FromDays(1));
        _lab.Issue("foreign", new CertificateIdentity(CertificateRole.Node, "b"), [], authority: foreign);
        using GrpcChannel channel = _lab.Open("foreign");

        GrpcException refused = await RefusedAndLoggedAsync(channel);

        Assert.Equal(GrpcStatusCode.Unauthenticated, refused.Status);
        Assert.Contains("CN=foreign", refused.Message, StringComparison.Ordinal);
        Assert.Contains("not among the trusted authorities", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Register_NoCertificate_IsRefused()
    {
        using GrpcChannel channel = _lab.Open(null);

        GrpcException refused = await RefusedAndLoggedAsync(channel);

        Assert.Equal(GrpcStatusCode.Unauthenticated, refused.Status);
        Assert.Contains("no certificate was shown", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Administration_ByANode_IsRefusedAndByAnAdministratorDone()
    {
        var method = new GrpcMethod<CheckRequest, CheckResponse>(ControlReflection.Descriptor.FindTypeByName<Google.Protobuf.Reflection.ServiceDescriptor>("Administration"), "Check");
        using GrpcChannel node = _lab.OpenNode("a");
        using GrpcChannel administrator = _lab.Open("admin");

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => node.CallAsync(method, new CheckRequest(), ControllerLab.Patience));

        Assert.Equal(GrpcStatusCode.PermissionDenied, refused.Status);
        Assert.Contains("this is for administrators", refused.Message, StringComparison.Ordinal);
        Assert.Empty((await administrator.CallAsync(method, new CheckRequest(), ControllerLab.Patience)).Problems);
        Assert.Equal(GrpcStatusCode.PermissionDenied, (await RefusedAsync(administrator)).Status);
    }

    [Fact]
    public async Task Connect_ControllerOfAnotherAuthority_IsRefusedByTheClientWithAReason()
    {
        IssuedCertificate foreign = CertificateAuthority.Create("foreign", DateTimeOffset.UtcNow, TimeSpan.FromDays(1));
        _lab.Issue("b", new CertificateIdentity(CertificateRole.Node, "b"), []);
        File.WriteAllText($"{_lab.Folder}/foreign-ca.pem", foreign.CertificatePem);
        using GrpcChannel channel = GrpcChannel.ToHost(
            "127.0.0.1", _lab.Port, new TlsFiles($"{_lab.Folder}/b.pem", $"{_lab.Folder}/b.key", $"{_lab.Folder}/foreign-ca.pem").ForClient());

        GrpcException refused = await RefusedAsync(channel);

        Assert.Contains("the controller is not trusted: the certificate of controller 'controller' is signed by", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connect_ControllerUnderAnotherHost_IsRefusedByTheClientWithAReason()
    {
        _lab.Issue("b", new CertificateIdentity(CertificateRole.Node, "b"), []);
        using GrpcChannel channel = GrpcChannel.ToHost(
            "localhost", _lab.Port, new TlsFiles($"{_lab.Folder}/b.pem", $"{_lab.Folder}/b.key", $"{_lab.Folder}/ca.pem").ForClient());

        GrpcException refused = await RefusedAsync(channel);

        Assert.Contains("the certificate of controller 'controller' is not for the host that was called", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connect_ControllersCertificateReplaced_ServesTheNewOneWithoutARestart()
    {
        _lab.Issue("controller", new CertificateIdentity(CertificateRole.Controller, "renewed"), ["localhost"]);
        _lab.Issue("b", new CertificateIdentity(CertificateRole.Node, "b"), []);
        using GrpcChannel channel = GrpcChannel.ToHost(
            "localhost", _lab.Port, new TlsFiles($"{_lab.Folder}/b.pem", $"{_lab.Folder}/b.key", $"{_lab.Folder}/ca.pem").ForClient());

        RegisterResponse registered = await ControllerLab.NodesAsync<RegisterRequest, RegisterResponse>(channel, "Register", ControllerLab.Registration("b"));

        Assert.Equal(1, registered.Generation);
    }

    [Fact]
    public async Task Register_AuthorityGivenUpWhileTheClientIsConnected_IsRefusedFromThenOn()
    {
        using GrpcChannel channel = _lab.OpenNode("b");
        RegisterResponse registered = await ControllerLab.RegisterAsync(channel, ControllerLab.Registration("b"));
        IssuedCertificate next = CertificateAuthority.Create("next", DateTimeOffset.UtcNow, TimeSpan.FromDays(1));
        _lab.Issue("controller", new CertificateIdentity(CertificateRole.Controller, "controller"), ["127.0.0.1"], authority: next);
        File.WriteAllText($"{_lab.Folder}/ca.pem", next.CertificatePem);

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => ControllerLab.RenewAsync(channel, "b", registered));

        Assert.Equal(GrpcStatusCode.Unauthenticated, refused.Status);
        Assert.Contains("not among the trusted authorities", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>A stream that is open already ends when a new one would be refused: at once when the certificate expires, and soon after its authority is given up.</summary>
    [Theory]
    [InlineData("expired", "the certificate of node 'b' expired on ")]
    [InlineData("given up", "not among the trusted authorities")]
    public async Task Watch_CertificateNoLongerGood_IsCutWithTheReasonOnBothSides(string how, string reason)
    {
        using var deadline = new CancellationTokenSource(ControllerLab.Patience);
        _lab.Issue("b", new CertificateIdentity(CertificateRole.Node, "b"), [], life: how == "expired" ? TimeSpan.FromSeconds(10) : null);
        using GrpcChannel channel = _lab.Open("b");
        IAsyncEnumerator<WatchResponse> watch = ControllerLab.Watch(channel, "b", 0, deadline.Token).GetAsyncEnumerator(deadline.Token);
        Assert.True(await watch.MoveNextAsync());
        if (how != "expired") File.WriteAllText($"{_lab.Folder}/ca.pem", CertificateAuthority.Create("next", DateTimeOffset.UtcNow, TimeSpan.FromDays(1)).CertificatePem);

        GrpcException cut = await Assert.ThrowsAsync<GrpcException>(async () =>
        {
            while (await watch.MoveNextAsync())
            {
            }
        });

        Assert.Equal(GrpcStatusCode.Unauthenticated, cut.Status);
        Assert.Contains(reason, cut.Message, StringComparison.Ordinal);
        await _lab.WaitForLogAsync($"refused /overlay.control.v1.Nodes/Watch: {cut.Message}");
        await watch.DisposeAsync();
    }

    /// <summary>The controller as etcd's client, by certificates of an authority that is etcd's own.</summary>
    [Fact]
    public async Task Store_EtcdThatDemandsCertificates_IsUsedWithThem()
    {
        string folder = Directory.CreateTempSubdirectory("ovt-etcd-tls-").FullName;
        ProgramRun.Check("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", $"{folder}/ca.key", "-out", $"{folder}/ca.pem", "-subj", "/CN=etcd-ca", "-days", "2");
        foreach (string name in new[] { "server", "client" })
        {
            ProgramRun.Check(
                "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", $"{folder}/{name}.key", "-out", $"{folder}/{name}.csr", "-subj", $"/CN={name}",
                "-addext", "subjectAltName=IP:127.0.0.1");
            ProgramRun.Check(
                "openssl", "x509", "-req", "-in", $"{folder}/{name}.csr", "-CA", $"{folder}/ca.pem", "-CAkey", $"{folder}/ca.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", $"{folder}/{name}.pem");
        }
        using (EtcdMember etcd = EtcdMember.StartWithTls(folder))
        {
            await using ControllerLab lab = await ControllerLab.StartNewAsync(
                $"{{ kind: etcd, endpoints: [{etcd.Client.OriginalString}], tls: {{ certificate: {folder}/client.pem, key: {folder}/client.key, authority: {folder}/ca.pem }} }}");

            ChangeResponse made = await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");

            Assert.Equal("pods", (await lab.StateAsync()).Networks.Single().Name);
            Assert.NotEqual(0, made.Revision);
        }
        Directory.Delete(folder, recursive: true);
    }

    private static Task<GrpcException> RefusedAsync(GrpcChannel channel) => Assert.ThrowsAsync<GrpcException>(
        () => ControllerLab.NodesAsync<RegisterRequest, RegisterResponse>(channel, "Register", ControllerLab.Registration("b")));

    /// <summary>As <see cref="RefusedAsync"/>, and the controller's log says the same.</summary>
    private async Task<GrpcException> RefusedAndLoggedAsync(GrpcChannel channel)
    {
        GrpcException refused = await RefusedAsync(channel);
        await _lab.WaitForLogAsync($"level=warning msg=\"refused /overlay.control.v1.Nodes/Register: {refused.Message}\"");
        return refused;
    }
}
