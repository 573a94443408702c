using Microsoft.AspNetCore.Http;
using Overlay.Agent.Pods.Cni;
using Overlay.Agent.Status;
using Overlay.Rpc;

namespace Overlay.Agent.Api;

/// <summary>Answers <see cref="LocalApi.AddressCheckPath"/>.</summary>
internal static class AddressCheckAnswer
{
    public static async Task WriteAsync(HttpContext context, StatusReporter reporter)
    {
        try
        {
            if (await reporter.CheckAddressesAsync(context.RequestAborted).ConfigureAwait(false) is { } checkedAddresses)
                await LocalApiServer.AnswerAsync(context, checkedAddresses, StatusJson.Default.AddressCheckDocument).ConfigureAwait(false);
            else await LocalApiServer.RefuseAsync(context, "this node wires no pods: its configuration has no section 'pods:', or it is starting").ConfigureAwait(false);
        }
        catch (CniException exception)
        {
            await LocalApiServer.RefuseAsync(context, $"the addresses cannot be checked: {exception.Message}").ConfigureAwait(false);
        }
    }
}
