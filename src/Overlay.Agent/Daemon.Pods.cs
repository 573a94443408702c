using Microsoft.Extensions.Logging;
using Overlay.Agent.Api;
using Overlay.Agent.Planning;
using Overlay.Agent.Pods;

namespace Overlay.Agent;

/// <summary>Who wires pods.</summary>
internal sealed partial class Daemon
{
    private PodWorker? _pods;
    private bool _saidThatPodsWait;

    /// <summary>Tells whoever wires pods of the plan in force. With controllers, this begins when they tell of the network that pods are in.</summary>
    private void Tell(Node node, LocalApiServer api)
    {
        if (_pods is null)
        {
            if ((_pods = ListenForPods(node.Plan)) is null) return;
            api.Reporter = _observation!.Report(_pods);
            _pods.StartAsync().GetAwaiter().GetResult();
        }
        else if (PodSettings.Of(node.Plan) is { } settings)
        {
            _pods.Apply(settings);
        }
    }

    /// <returns>Null where there are no pods, or not yet the network that they are in.</returns>
    private PodWorker? ListenForPods(NodePlan plan)
    {
        if (PodSettings.Of(plan) is { } settings) return PodWorker.Listen(settings, _control, WorkerDied, logs.CreateLogger("pods"));
        if (plan.Options.Pods is { } pods && !_saidThatPodsWait) _log.LogWarning("pods wait for the network '{Network}', of which the controllers have not told yet", pods.Segment);
        _saidThatPodsWait = plan.Options.Pods is not null;
        return null;
    }
}
