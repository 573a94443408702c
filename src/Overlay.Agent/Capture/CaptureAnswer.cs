using Microsoft.AspNetCore.Http;
using Overlay.Agent.Status;
using Overlay.Rpc;
using Overlay.Rpc.Hosting;

namespace Overlay.Agent.Capture;

/// <summary>Answers <see cref="LocalApi.CapturePath"/>.</summary>
internal static class CaptureAnswer
{
    private const string PcapngType = "application/x-pcapng";

    public static Task WriteAsync(HttpContext context, StatusReporter reporter)
    {
        CaptureHub hub = reporter.Captures;
        if (HttpMethods.IsDelete(context.Request.Method))
        {
            context.Response.StatusCode = hub.End(context.Request.Query[LocalApi.CaptureQuery]) ? StatusCodes.Status204NoContent : StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }
        if (!HttpMethods.IsGet(context.Request.Method))
        {
            context.Response.Headers.Allow = "GET, DELETE";
            context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            return Task.CompletedTask;
        }
        if (CaptureRequest.TryRead(context.Request.Query, reporter.Snapshot, out string problem) is not { } request)
            return HttpEndpoint.WriteAsync(context, StatusCodes.Status400BadRequest, problem);
        context.Response.ContentType = PcapngType;
        return request.FromRing ? hub.WriteRingAsync(context.Response.BodyWriter, request, context.RequestAborted) : StreamAsync(context, hub, request);
    }

    private static async Task StreamAsync(HttpContext context, CaptureHub hub, CaptureRequest request)
    {
        if (hub.Start(request) is not { } session)
        {
            await HttpEndpoint.WriteAsync(context, StatusCodes.Status400BadRequest, $"{CaptureHub.MostCaptures} captures run already; end one of them").ConfigureAwait(false);
            return;
        }
        try
        {
            context.Response.Headers[LocalApi.CaptureHeader] = session.Id;
            await session.RunAsync(context.Response.BodyWriter, hub.Begin(context.Response.BodyWriter, request), context.RequestAborted).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The reader is gone: that is how a capture may end.
        }
        finally
        {
            hub.Remove(session);
        }
    }
}
