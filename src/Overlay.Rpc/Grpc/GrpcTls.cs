using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Overlay.Rpc.Grpc;

/// <summary>
/// TLS under a listener's connections. Kestrel's own needs services of ASP.NET's hosting; this asks the options anew for each connection, so
/// that certificates are renewed without a restart.
/// </summary>
internal static class GrpcTls
{
    private static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);

    /// <summary>What is written at a time goes into as few records as TLS has for it (16 KB each), and not into one a page of memory.</summary>
    private static readonly StreamPipeWriterOptions Writing = new(minimumBufferSize: 32 << 10);

    public static void Use(ListenOptions listen, Func<SslServerAuthenticationOptions> options, ILogger log) =>
        listen.Use(next => connection => ServeAsync(connection, next, options(), log));

    private static async Task ServeAsync(
        ConnectionContext connection, ConnectionDelegate next, SslServerAuthenticationOptions options, ILogger log)
    {
        IDuplexPipe inner = connection.Transport;
        var stream = new SslStream(new DuplexStream(inner.Input.AsStream(leaveOpen: true), inner.Output.AsStream(leaveOpen: true)));
        await using (stream.ConfigureAwait(false))
        {
            options.ApplicationProtocols = [SslApplicationProtocol.Http2];
            using (var deadline = new CancellationTokenSource(HandshakeTimeout))
            {
                try
                {
                    await stream.AuthenticateAsServerAsync(options, deadline.Token).ConfigureAwait(false);
                }
                catch (Exception exception) when (exception is AuthenticationException or IOException or OperationCanceledException)
                {
                    log.LogWarning("no TLS with {Client}: {Problem}", connection.RemoteEndPoint, (exception.InnerException ?? exception).Message);
                    return;
                }
            }
            using X509Certificate2? certificate = stream.RemoteCertificate is { } remote ? new X509Certificate2(remote) : null;
            if (certificate is not null) connection.Features.Set(new ClientCertificateFeature(certificate));
            connection.Transport = new TlsTransport(PipeReader.Create(stream), PipeWriter.Create(stream, Writing));
            try
            {
                await next(connection).ConfigureAwait(false);
            }
            finally
            {
                await connection.Transport.Input.CompleteAsync().ConfigureAwait(false);
                await connection.Transport.Output.CompleteAsync().ConfigureAwait(false);
                connection.Transport = inner;
            }
        }
    }

    private sealed record TlsTransport(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
