using System.Net;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>Pods of two nodes, wired by the plugin as a runtime calls it: who reaches whom.</summary>
[Collection(PodLabFixture.Shared)]
public sealed class PodNetworkTests(PodLabFixture fixture)
{
    private PodNode A => fixture.Lab.A;

    private PodNode B => fixture.Lab.B;

    [Fact]
    public async Task Add_PodsOfTwoNodes_TalkBothFamiliesWithoutNat()
    {
        (TestPod a, CniOutcome addedA) = await A.AddPodAsync("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a");
        (TestPod b, CniOutcome addedB) = await B.AddPodAsync();

        for (int family = 0; family < 2; family++)
        {
            IReadOnlyList<IPAddress> seen = await TcpCheck.RunAsync(a.Space, b.Space, addedB.Addresses[family], 1, 4 << 20);
            Assert.Equal([IPAddress.Parse(addedA.Addresses[family])], seen);
            PingResult back = await Ping.RunAsync(b.Space, addedA.Addresses[family], count: 2);
            Assert.True(back.Received == 2, back.Transcript);
        }
    }

    [Fact]
    public async Task Add_PodsOfOneNode_TalkBothFamiliesWithoutNat()
    {
        (TestPod one, CniOutcome first) = await A.AddPodAsync();
        (TestPod other, CniOutcome second) = await A.AddPodAsync();

        for (int family = 0; family < 2; family++)
        {
            IReadOnlyList<IPAddress> seen = await TcpCheck.RunAsync(one.Space, other.Space, second.Addresses[family], 1, 1 << 20);
            Assert.Equal([IPAddress.Parse(first.Addresses[family])], seen);
        }
        Assert.Empty(first.Addresses.Intersect(second.Addresses));
    }

    [Fact]
    public async Task Add_FromTheNode_PodsOfBothNodesAnswer()
    {
        (TestPod near, CniOutcome addedNear) = await A.AddPodAsync();
        (_, CniOutcome addedFar) = await B.AddPodAsync();

        foreach (string address in addedNear.Addresses.Concat(addedFar.Addresses))
        {
            PingResult answers = await Ping.RunAsync(A.Node.Host, address, count: 2);
            Assert.True(answers.Received == 2, answers.Transcript);
        }
        PingResult toNode = await Ping.RunAsync(near.Space, A.Node.Underlay4);
        Assert.True(toNode.Received == 1, toNode.Transcript);
    }

    [Fact]
    public async Task Add_SeveralInterfaces_EachAnswersAndOneGoesAlone()
    {
        (TestPod pod, CniOutcome first) = await A.AddPodAsync();
        CniOutcome second = await A.AddAsync(pod, interfaceName: "net1");
        Assert.Equal(0, second.Code);

        foreach (string address in first.Addresses.Concat(second.Addresses))
        {
            PingResult answers = await Ping.RunAsync(B.Node.Host, address, count: 2);
            Assert.True(answers.Received == 2, answers.Transcript);
        }
        await A.DeleteAsync(pod, "eth0");
        PingResult left = await Ping.RunAsync(B.Node.Host, second.Addresses[0], count: 2);
        Assert.True(left.Received == 2, left.Transcript);
    }

    [Fact]
    public async Task Hairpin_PodToItselfByAnotherAddress_IsAnswered()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        const string service = "198.51.100.7";
        await A.Node.Host.CheckAsync("nft", $"add table ip service; add chain ip service pre {{ type nat hook prerouting priority -100; }}; add chain ip service post {{ type nat hook postrouting priority 90; }}; add rule ip service pre ip daddr {service} dnat to {added.Addresses[0]}; add rule ip service post ip saddr {added.Addresses[0]} ip daddr {added.Addresses[0]} masquerade");
        try
        {
            PingResult answers = await Ping.RunAsync(pod.Space, service, count: 2);
            Assert.True(answers.Received == 2, answers.Transcript);
        }
        finally
        {
            await A.Node.Host.CheckAsync("nft", "delete table ip service");
        }
    }

    [Fact]
    public async Task Hairpin_PodToItselfByAPortOfTheNode_IsAnswered()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        await using PortMapping mapping = await PortMapping.AddAsync(A, pod, added);

        foreach (string node in new[] { A.Node.Underlay4, A.Node.Underlay6 })
        {
            await mapping.ReachAsync(pod.Space, node);
            await mapping.ReachAsync(B.Node.Host, node);
        }
    }
}
