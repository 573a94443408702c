using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;

namespace Overlay.Controller;

/// <summary>Decides what a caller may do, by its certificate. A refusal goes to the caller and into the log.</summary>
/// <param name="tls">Null on the Unix socket, which only the administrator can open.</param>
internal sealed class Callers(TlsFiles? tls, ILogger log)
{
    /// <summary>How often the caller of an open stream is looked at.</summary>
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Margin = TimeSpan.FromMilliseconds(20);

    private const string Local = "the local administrator";

    /// <summary>By connection, for the certificate is the connection's; good as long as the authorities are the same.</summary>
    private readonly ConditionalWeakTable<X509Certificate2, Known> _known = [];

    private sealed record Known(CertificateIdentity Identity, TlsMaterial Ours);

    /// <exception cref="GrpcException">The caller is not this node.</exception>
    public void RequireNode(GrpcCall call, string node)
    {
        if (tls is null) throw Refuse(call, GrpcStatusCode.PermissionDenied, "the Unix socket is for administration; nodes call over TCP with their certificates");
        CertificateIdentity caller = Identify(call);
        if (caller.Role != CertificateRole.Node)
            throw Refuse(call, GrpcStatusCode.PermissionDenied, $"the certificate is that of {caller}, and only node '{node}' may call this; use the certificate of the node");
        if (caller.Name != node)
            throw Refuse(call, GrpcStatusCode.PermissionDenied, $"the certificate is that of {caller}, which cannot act as node '{node}'; write 'node: {caller.Name}', or use the other certificate");
    }

    /// <summary>
    /// Ends a node's call when its certificate expires, or soon after its authority was given up, as a new call would be refused then. Until disposed.
    /// </summary>
    public IAsyncDisposable Guard(GrpcCall call, string node) => new OpenCall(this, call, node);

    /// <exception cref="GrpcException">The caller is no administrator.</exception>
    public void RequireAdministrator(GrpcCall call)
    {
        if (tls is null) return;
        CertificateIdentity caller = Identify(call);
        if (caller.Role != CertificateRole.Administrator)
            throw Refuse(call, GrpcStatusCode.PermissionDenied, $"the certificate is that of {caller}, and this is for administrators; make one with 'overlay pki admin'");
    }

    /// <summary>Who calls, for what is counted by client.</summary>
    public string NameOf(GrpcCall call) => tls is null ? Local : Identify(call).ToString();

    private CertificateIdentity Identify(GrpcCall call)
    {
        X509Certificate2? certificate = call.ClientCertificate;
        TlsMaterial ours = tls!.Current;
        if (certificate is not null && _known.TryGetValue(certificate, out Known? known) && ReferenceEquals(known.Ours, ours) && DateTime.Now < certificate.NotAfter)
            return known.Identity;
        if (CertificateCheck.Refusal(certificate, ours.Authorities, DateTimeOffset.UtcNow) is { } refusal)
            throw Refuse(call, GrpcStatusCode.Unauthenticated, refusal);
        CertificateIdentity identity = CertificateIdentity.Read(certificate!)
            ?? throw Refuse(call, GrpcStatusCode.Unauthenticated, $"the certificate of '{certificate!.Subject}' is of no node, controller or administrator; make one with 'overlay pki'");
        _known.AddOrUpdate(certificate!, new Known(identity, ours));
        return identity;
    }

    private GrpcException Refuse(GrpcCall call, GrpcStatusCode status, string reason)
    {
        log.LogWarning("refused {Method}: {Reason}", call.Method, reason);
        return new GrpcException(status, reason);
    }

    private sealed class OpenCall : IAsyncDisposable
    {
        private readonly CancellationTokenSource _end;
        private readonly Task _looking;

        public OpenCall(Callers callers, GrpcCall call, string node)
        {
            _end = CancellationTokenSource.CreateLinkedTokenSource(call.Cancellation);
            _looking = LookAsync(callers, call, node, _end.Token);
        }

        public async ValueTask DisposeAsync()
        {
            await _end.CancelAsync().ConfigureAwait(false);
            await _looking.ConfigureAwait(false);
            _end.Dispose();
        }

        private static async Task LookAsync(Callers callers, GrpcCall call, string node, CancellationToken end)
        {
            while (true)
            {
                await Task.Delay(Next(call), end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (end.IsCancellationRequested) return;
                try
                {
                    callers.RequireNode(call, node);
                }
                catch (GrpcException refusal)
                {
                    call.End(refusal);
                    return;
                }
            }
        }

        /// <summary>When the certificate expires, or earlier, for files and clocks may change.</summary>
        private static TimeSpan Next(GrpcCall call)
        {
            TimeSpan left = call.ClientCertificate!.NotAfter - DateTime.Now + Margin;
            return left < Margin ? Margin : left > LookInterval ? LookInterval : left;
        }
    }
}
