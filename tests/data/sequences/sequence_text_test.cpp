#include "data/sequences/sequence_text.h"

#include "sequence_files.h"

#include <chrono>
#include <iostream>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Lists;
using testing::TemporaryFolder;
using testing::write_text;

TEST(SequenceText, ReadsUsersAndKeepsIds) {
  const TemporaryFolder folder;
  const auto path = write_text(folder, "7 3 1 3\r\n\n 2\t9  1 \n5 1000000");
  const Interactions set = read_sequence_text(path);
  EXPECT_EQ(testing::lists_of(set), (Lists{{3, 1, 3}, {9, 1}, {1000000}}));
  EXPECT_EQ(set.user_names, (std::vector<std::string>{"7", "2", "5"}));
  EXPECT_EQ(set.items(), 1000000);
  EXPECT_EQ(set.item_name(9), "9");
  EXPECT_TRUE(set.ratings.empty());
}

std::string refusal(const std::string& text) {
  const TemporaryFolder folder;
  const auto path = write_text(folder, text);
  std::string message = testing::data_error([&] { read_sequence_text(path); });
  EXPECT_EQ(message.find(path.string() + ":"), 0u) << message;
  return message.substr(std::min(path.string().size(), message.size()));
}

TEST(SequenceText, NamesFileAndLineOfWhatIsWrong) {
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"1 2 3\n2 4 x5\n", ":2: item 'x5' is no whole number"},
           {"1 2 3\n\n2 4 5.0\n", ":3: item '5.0' is no whole number"},
           {"1 2 +3\n", ":1: item '+3' is no whole number"},
           {"1 2\x01\n", ":1: item '2\\x01' is no whole number"},
           {"3 4\n1 2 1000001 2\n", ":2: item 1000001 is far above the number of items"},
           {"1 2 0\n", ":1: item '0' is below 1"},
           {"1 2 -4\n", ":1: item '-4' is below 1"},
           {"1 2\n0 4\n", ":2: user '0' is below 1"},
           {"1 2147483647\n", ":1: item '2147483647' is too large"},
           {"1 99999999999999999999\n", ":1: item '99999999999999999999' is too large"},
           {"1 2\n4 3\n1 5\n", ":3: user 1 has a line already, line 1"},
           {"1 2 3\n2\n3 1\n", ":2: user 2 has no items"},
           {"", ":1: the file has no users"},
           {" \n\n", ":1: the file has no users"}}) {
    const std::string message = refusal(text);
    EXPECT_EQ(message.find(part), 0u) << message;
  }
}

TEST(SequenceText, MissingFile) {
  const std::string message =
      testing::data_error([] { read_sequence_text("/nowhere/Beauty.txt"); });
  EXPECT_MENTIONS(message, "/nowhere/Beauty.txt: no such file");
}

void expect_set(const std::string& path, int64_t users, int64_t items, int64_t interactions) {
  const auto start = std::chrono::steady_clock::now();
  const Interactions set = read_sequence_text(path);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const InteractionStatistics found = statistics(set);
  EXPECT_EQ(found.users, users);
  EXPECT_EQ(found.items, items);
  EXPECT_EQ(set.items(), items);
  EXPECT_EQ(found.interactions, interactions);
  EXPECT_EQ(found.shortest, 5);  // both are 5-cores
  EXPECT_EQ(found.not_trained, 0);
  std::cout << path << " in " << took.count() << " s: " << statistics_line(set) << "\n";
  EXPECT_LT(took.count(), 1);  // far above what a busy machine takes
}

void check_real_sets(const std::string& folder) {
  expect_set(folder + "/Beauty.txt", 22363, 12101, 198502);
  expect_set(folder + "/Sports_and_Outdoors.txt", 35598, 18357, 296337);
}

[[maybe_unused]] const bool added = testing::add_real_sequences("SequenceText", check_real_sets);

}  // namespace
}  // namespace cltrain
