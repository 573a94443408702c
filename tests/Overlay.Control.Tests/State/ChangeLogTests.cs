using Overlay.Control.State;
using Overlay.Rpc.Control;
using Overlay.Testing;

namespace Overlay.Control.Tests.State;

public sealed class ChangeLogTests
{
    /// <summary>Against a plain list that forgets nothing.</summary>
    [Fact]
    public void Between_AnyAdditions_TellsWhatAListTells() => Seeded.Check(200, random =>
    {
        int most = random.Next(1, 60);
        var log = new ChangeLog(most);
        long revision = random.Next(1, 5);
        log.Clear(revision);
        var all = new List<(long Revision, string Key)>();
        for (int i = 0; i < 150; i++)
        {
            revision += random.Next(1, 4);
            Change[] changes = [.. Enumerable.Range(0, random.Next(1, 5)).Select(k => new Change { Key = $"{revision}/{k}" })];
            log.Add(revision, changes);
            all.AddRange(changes.Select(change => (revision, change.Key)));

            long after = random.NextInt64(log.Floor, revision + 1);
            long upTo = random.NextInt64(after, revision + 2);
            Assert.Equal(all.Where(each => each.Revision > after && each.Revision <= upTo).Select(each => each.Key), log.Between(after, upTo).Select(change => change.Key));
            Assert.Equal(all.Count(each => each.Revision > after), log.CountAfter(after));
            int kept = all.Count(each => each.Revision > log.Floor);
            Assert.True(kept <= most || all.Where(each => each.Revision > log.Floor).Select(each => each.Revision).Distinct().Count() == 1);
        }
    });
}
